//! Pages of a list: one row more than the page has tells whether there is a next one.

/// What to ask a store for.
pub fn one_more(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX).saturating_add(1)
}

/// Cuts the row too many off, and tells where the next page begins.
pub fn cut<T>(rows: &mut Vec<T>, limit: usize, cursor_at: impl FnOnce(&T) -> String) -> Option<String> {
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
