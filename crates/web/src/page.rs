//! Pages of a list. The store is asked for one row more than the page has: if that row exists,
//! there is a next page.

/// The number of rows to ask the store for.
pub fn one_more(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX).saturating_add(1)
}

/// Cuts off the extra row. Returns the cursor of the next page, if there is one.
pub fn cut<T>(
    rows: &mut Vec<T>,
    limit: usize,
    cursor_at: impl FnOnce(&T) -> String,
) -> Option<String> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| more).map(cursor_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_next_page_exactly_if_there_is_a_row_more() {
        for (rows, limit, page, next) in [(0, 2, 0, None), (2, 2, 2, None), (3, 2, 2, Some("1"))] {
            let mut rows: Vec<usize> = (0..rows).collect();
            assert_eq!(cut(&mut rows, limit, usize::to_string).as_deref(), next);
            assert_eq!(rows.len(), page);
        }
        assert_eq!(one_more(200), 201);
    }
}
