//! What a search compares: both engines store it, and both compare it byte by byte.

use unicode_normalization::UnicodeNormalization;

/// The text as a search sees it: texts that differ only in case, or in how their letters are
/// composed, have one key.
///
/// Every character is put into lower, upper and lower case again, so that letters which are one in
/// upper case are one here: `ς` is `σ`, and `ß` and `ẞ` are `ss`, as in Unicode's full case folding.
/// A whole text is not put into lower case at once, because then the end of a word would matter, and
/// the text of a search ends elsewhere than the name.
pub(super) fn search_key(text: &str) -> String {
    let lower = text.nfd().flat_map(char::to_lowercase);
    let folded = lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    folded.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_composition_make_no_difference() {
        for alike in [
            &["mug", "MUG", "Mug"][..],
            &["açaí", "AÇAÍ", "ac\u{327}ai\u{301}"],
            &["ὀδυσσεύς", "ὈΔΥΣΣΕΎΣ", "ὀδυσσεύσ"],
            &["straße", "STRASSE", "STRAẞE", "strasse"],
            &["ΐ", "Ϊ́", "ι\u{308}\u{301}"],
            &["ﬁ", "FI"],
            &["\u{212b}", "å", "Å", "a\u{30a}"],
            &["ᾳ", "ΑΙ", "αι"],
            &["Ꭰ", "ꭰ"],
        ] {
            let keys: Vec<_> = alike.iter().map(|text| search_key(text)).collect();
            assert!(keys.iter().all(|key| *key == keys[0]), "{alike:?}: {keys:?}");
        }
        for unlike in [["mug", "mag"], ["cafe", "café"], ["o", "ø"]] {
            assert_ne!(search_key(unlike[0]), search_key(unlike[1]));
        }
    }

    #[test]
    fn the_key_of_a_key_is_the_key() {
        for text in ["ΟΔΟΣ ΣΣ", "İstanbul", "ŉ", "ǰ", "ᾳ\u{301}", "\u{958}", "한", "ﬀ"]
        {
            assert_eq!(search_key(&search_key(text)), search_key(text), "{text}");
        }
    }
}
