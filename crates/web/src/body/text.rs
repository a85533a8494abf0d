//! Readers of text that people write and read.

use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::values::wrong_type;
use super::{Node, Parsed};
use crate::problem::FaultCode;

/// The most bytes of UTF-8 that a character in NFC may take before it is composed: twelve
/// (Unicode Standard Annex #15, table of the maximum expansion).
const MAX_DECOMPOSED: usize = 12;

/// Reads text of at most `max` Unicode scalar values that a person can read on one line: control
/// characters, line breaks and characters that change the direction of text are refused.
///
/// The result is in NFC (Unicode Standard Annex #15), and so is what `max` counts. Two texts that
/// look the same because one keyboard composes letters and another one does not are one text.
pub fn text(max: usize) -> impl Fn(&Node) -> Parsed<String> {
    move |node| {
        let Node::String(text) = node else { return Err(wrong_type("a string", node)) };
        let too_long =
            || Err((FaultCode::OUT_OF_RANGE, format!("must have at most {max} characters")));
        // A much longer text is refused without being composed.
        if text.len() > MAX_DECOMPOSED * max {
            return too_long();
        }
        let text = composed(text);
        if text.chars().count() > max {
            return too_long();
        }
        if text.chars().any(|c| c.is_control() || breaks_line(c) || turns_direction(c)) {
            return Err((FaultCode::BAD_FORMAT, "must not contain control characters".to_owned()));
        }
        Ok(text)
    }
}

/// Reads [`text`] of which a person sees something: not only white space, invisible characters and
/// accents without a letter.
pub fn text_not_blank(max: usize) -> impl Fn(&Node) -> Parsed<String> {
    let text = text(max);
    move |node| {
        let text = text(node)?;
        if !text.chars().any(is_visible) {
            return Err((FaultCode::OUT_OF_RANGE, "must not be blank".to_owned()));
        }
        Ok(text)
    }
}

/// The text in NFC, as [`text`] reads it.
pub fn composed(text: &str) -> String {
    if is_nfc(text) { text.to_owned() } else { text.nfc().collect() }
}

/// Whether the character is a Unicode control of bidirectional text, which can make a name look
/// like another one in a log or on a page.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether the character is a line or paragraph separator. All other line breaks are controls.
fn breaks_line(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a person sees the character by itself.
fn is_visible(c: char) -> bool {
    use GeneralCategoryGroup as Group;
    // Fillers of Hangul are letters, the Braille cell without dots is a symbol, and the rest has no
    // meaning yet but is never to be shown (Default_Ignorable_Code_Point).
    let draws_nothing = matches!(c,
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}'
        | '\u{2065}' | '\u{fff0}'..='\u{fff8}' | '\u{e0000}'..='\u{e0fff}');
    let group = c.general_category_group();
    // Format characters are of the group Other, as are those of private use, which may draw an icon,
    // and those that are newer than this program.
    let is_format = c.general_category() == unicode_properties::GeneralCategory::Format;
    !draws_nothing && !is_format && !matches!(group, Group::Mark | Group::Separator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::{code, node};

    #[test]
    fn text_is_measured_in_characters_and_has_no_controls() {
        for (json, expected) in [
            ("\"\"", Ok("")),
            ("\"abcd\"", Ok("abcd")),
            ("\"😀😀😀😀\"", Ok("😀😀😀😀")),
            ("\"é ç\"", Ok("é ç")),
            ("\"abcde\"", Err(FaultCode::OUT_OF_RANGE)),
            ("\"😀😀😀😀😀\"", Err(FaultCode::OUT_OF_RANGE)),
            ("\"a\\nb\"", Err(FaultCode::BAD_FORMAT)),
            ("\"\\u0000\"", Err(FaultCode::BAD_FORMAT)),
            ("\"\\u007f\"", Err(FaultCode::BAD_FORMAT)),
            ("\"\\u0085\"", Err(FaultCode::BAD_FORMAT)),
            ("\"a\\u202eb\"", Err(FaultCode::BAD_FORMAT)),
            ("\"a\\u2066b\"", Err(FaultCode::BAD_FORMAT)),
            ("\"a\\u200fb\"", Err(FaultCode::BAD_FORMAT)),
            ("\"a\\u2028b\"", Err(FaultCode::BAD_FORMAT)),
            ("\"a\\u2029b\"", Err(FaultCode::BAD_FORMAT)),
            ("5", Err(FaultCode::WRONG_TYPE)),
            ("null", Err(FaultCode::WRONG_TYPE)),
        ] {
            assert_eq!(code(text(4)(&node(json))), expected.map(str::to_owned), "{json}");
        }
    }

    #[test]
    fn text_is_composed_and_measured_as_it_is_stored() {
        for (json, expected) in [
            ("\"cafe\\u0301\"", Ok("caf\u{e9}")),
            ("\"c\\u0327\\u0327\"", Ok("\u{e7}\u{327}")),
            // Marks in another order, and signs that have one form only.
            ("\"q\\u0307\\u0323\"", Ok("q\u{323}\u{307}")),
            ("\"\\u212b\"", Ok("\u{c5}")),
            // Four syllables in twelve characters.
            (
                &format!("\"{}\"", "\u{1112}\u{1161}\u{11ab}".repeat(4)),
                Ok("\u{d55c}\u{d55c}\u{d55c}\u{d55c}"),
            ),
            // Characters that NFC takes apart: two are four, three are six.
            ("\"\\u0958\\u0958\"", Ok("\u{915}\u{93c}\u{915}\u{93c}")),
            ("\"\\u0958\\u0958\\u0958\"", Err(FaultCode::OUT_OF_RANGE)),
        ] {
            assert_eq!(code(text(4)(&node(json))), expected.map(str::to_owned), "{json}");
        }
        let one_by_one = "\u{1f82}".nfd().collect::<String>().repeat(200);
        assert_eq!(
            code(text(200)(&Node::String(one_by_one))),
            Ok("\u{1f82}".repeat(200)),
            "the longest text that can be composed to 200 characters"
        );
    }

    #[test]
    fn text_that_must_say_something_is_not_blank() {
        let said = [" a ", "日本", "!", "7", "\u{1f600}", "e\u{200d}", "\u{e000}", "\u{5d0}", "+"];
        for text in said {
            let read = text_not_blank(4)(&Node::String(text.to_owned()));
            assert_eq!(code(read), Ok(text.to_owned()), "{text:?}");
        }
        let unsaid = [
            "",
            "  ",
            "\u{a0}\u{3000}",
            "\u{200b}",
            "\u{2060}",
            "\u{feff}",
            "\u{ad}",
            "\u{200d}\u{200c}",
            "\u{301}",
            " \u{301}\u{20dd}",
            "\u{fe0f}",
            "\u{34f}",
            "\u{180e}",
            "\u{115f}\u{1160}",
            "\u{3164}",
            "\u{ffa0}",
            "\u{2800}",
            "\u{2062}",
            "\u{2065}",
            "\u{e0041}",
            "\u{fff9}",
        ];
        for text in unsaid {
            let read = text_not_blank(4)(&Node::String(text.to_owned()));
            assert_eq!(code(read), Err(FaultCode::OUT_OF_RANGE), "{text:?}");
        }
    }
}
