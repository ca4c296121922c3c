//! What the tokenizer asks about a character, and its decomposition without accents.
//!
//! Complete for the basic multilingual plane, as the reference tokenizer sees it, apart from code
//! points that Unicode had not assigned; the planes above pass unchanged.

mod tables;

use tables::{BASES, CAPITALS, CONTROLS, MARKS, PAIRS, PUNCTUATION};

/// At most three characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decomposition {
    parts: [char; 3],
    count: usize,
}

impl Decomposition {
    const fn new(parts: [char; 3], count: usize) -> Self {
        Self { parts, count }
    }

    pub(super) fn parts(self) -> impl Iterator<Item = char> {
        self.parts.into_iter().take(self.count)
    }
}

/// White space, as the tokenizer splits at it.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace()
}

/// Characters that the tokenizer drops. Call after [`is_space`].
pub(super) fn is_dropped(c: char) -> bool {
    c == '\u{fffd}' || c.is_ascii_control() || is_within(CONTROLS, c)
}

/// Punctuation: every ASCII character that is neither letter, digit nor space, and Unicode's own.
pub(super) fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || is_within(PUNCTUATION, c)
}

/// Chinese ideographs, each of which is a word of its own.
pub(super) const fn is_ideograph(c: char) -> bool {
    matches!(c,
        '\u{4e00}'..='\u{9fff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{20000}'..='\u{2a6df}'
        | '\u{2a700}'..='\u{2b73f}'
        | '\u{2b740}'..='\u{2b81f}'
        | '\u{2b920}'..='\u{2ceaf}'
        | '\u{f900}'..='\u{faff}'
        | '\u{2f800}'..='\u{2fa1f}')
}

/// The canonical decomposition of `c`, without non-spacing marks.
pub(super) fn without_accents(c: char) -> Decomposition {
    if c.is_ascii() {
        return Decomposition::new([c, '\0', '\0'], 1);
    }
    if is_within(MARKS, c) {
        return Decomposition::new(['\0'; 3], 0);
    }
    if let '\u{ac00}'..='\u{d7a3}' = c {
        return syllable(c);
    }
    let Ok(code) = u16::try_from(u32::from(c)) else {
        return Decomposition::new([c, '\0', '\0'], 1);
    };
    let (bases, _) = BASES.as_chunks::<2>();
    if let Ok(at) = bases.binary_search_by_key(&code, |&[from, _]| from) {
        return Decomposition::new([character(bases[at][1]), '\0', '\0'], 1);
    }
    let (pairs, _) = PAIRS.as_chunks::<3>();
    if let Ok(at) = pairs.binary_search_by_key(&code, |&[from, ..]| from) {
        let [_, first, second] = pairs[at];
        return Decomposition::new([character(first), character(second), '\0'], 2);
    }
    Decomposition::new([c, '\0', '\0'], 1)
}

/// The lower case of a character of [`without_accents`]. `core` has the same in ten kilobytes.
pub(super) fn lower_case(c: char) -> char {
    let Ok(code) = u16::try_from(u32::from(c)) else { return c };
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let (runs, _) = CAPITALS.as_chunks::<4>();
    let after = runs.partition_point(|&[first, ..]| first <= code);
    let Some(&[first, last, step, distance]) = runs[..after].last() else { return c };
    let is_capital = code <= last && (code - first) & (step - 1) == 0;
    if is_capital { character(code.wrapping_add(distance)) } else { c }
}

/// A Korean syllable as two or three letters (the Unicode standard, section 3.12).
fn syllable(c: char) -> Decomposition {
    let index = u32::from(c) - 0xac00;
    let letter = |code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    let (lead, vowel, tail) = (index / 588, index % 588 / 28, index % 28);
    let parts = [letter(0x1100 + lead), letter(0x1161 + vowel), letter(0x11a7 + tail)];
    Decomposition::new(parts, if tail == 0 { 2 } else { 3 })
}

fn character(code: u16) -> char {
    char::from_u32(u32::from(code)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Whether `c` is in one of the sorted runs.
fn is_within(runs: &[u16], c: char) -> bool {
    let Ok(code) = u16::try_from(u32::from(c)) else { return false };
    let (runs, _) = runs.as_chunks::<2>();
    let after = runs.partition_point(|&[first, _]| first <= code);
    after > 0 && runs[after - 1][1] >= code
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate alloc;
    use alloc::string::String;

    /// Capitals that came after Unicode 14.
    const SINCE_14: [char; 8] = [
        '\u{1c89}', '\u{a7cb}', '\u{a7cc}', '\u{a7ce}', '\u{a7d2}', '\u{a7d4}', '\u{a7da}',
        '\u{a7dc}',
    ];

    fn bare(text: &str) -> String {
        text.chars().flat_map(|c| without_accents(c).parts()).collect()
    }

    #[test]
    fn accents_fall_off_and_the_rest_stays() {
        assert_eq!(bare("Crème Brûlée ǖ Ǿ ß ø"), "Creme Brulee u Ø ß ø");
        assert_eq!(bare("e\u{301}"), "e");
        assert_eq!(bare("й が ά"), "и か α");
    }

    /// `core` has a newer one: what was added since is not lowered here.
    #[test]
    fn lower_case_is_that_of_the_standard() {
        let mut lowered = 0;
        for c in (0..=0xffff).filter_map(char::from_u32).flat_map(|c| without_accents(c).parts()) {
            let (ours, standard) = (lower_case(c), c.to_lowercase());
            assert!(standard.eq([ours]) || SINCE_14.contains(&c), "{c:?} to {ours:?}");
            lowered += u32::from(ours != c);
        }
        assert!(lowered > 900, "{lowered}");
    }

    #[test]
    fn syllables_become_letters() {
        assert_eq!(bare("한국"), "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}");
        assert_eq!(bare("가"), "\u{1100}\u{1161}");
    }

    #[test]
    fn tables_are_sorted() {
        for runs in [PUNCTUATION, MARKS, CONTROLS] {
            assert!(runs.len().is_multiple_of(2));
            assert!(runs.windows(2).all(|w| w[0] <= w[1]));
        }
        assert!(BASES.as_chunks::<2>().0.windows(2).all(|w| w[0][0] < w[1][0]));
        assert!(PAIRS.as_chunks::<3>().0.windows(2).all(|w| w[0][0] < w[1][0]));
        assert!(CAPITALS.as_chunks::<4>().0.windows(2).all(|w| w[0][1] < w[1][0]));
    }

    #[test]
    fn classes_are_those_of_the_reference() {
        assert!(is_punctuation('$') && is_punctuation('’') && is_punctuation('—'));
        assert!(!is_punctuation('€') && !is_punctuation('é'));
        assert!(is_dropped('\u{200b}') && is_dropped('\u{80}') && is_dropped('\0'));
        assert!(is_ideograph('中') && !is_ideograph('か'));
    }
}
