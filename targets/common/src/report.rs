//! Text as a JSON string, for reports that leave the device as one JSON object a line.

use core::fmt::{self, Write};

/// Shows a value as a string with its quotes and the escapes that JSON asks for (RFC 8259,
/// section 7).
#[derive(Debug, Clone, Copy)]
pub struct Quoted<T>(pub T);

impl<T: fmt::Display> fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        write!(Escaping(f), "{}", self.0)?;
        f.write_char('"')
    }
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            '"' | '\\' => write!(self.0, "\\{c}"),
            c if u32::from(c) < 0x20 => write!(self.0, "\\u{:04x}", u32::from(c)),
            c => self.0.write_char(c),
        })
    }
}

/// Shows numbers as a list, six digits behind the point.
#[derive(Debug, Clone, Copy)]
pub struct List<'a>(pub &'a [f32]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        for (i, number) in self.0.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, Number(*number))?;
        }
        f.write_char(']')
    }
}

/// Shows a number with six digits behind the point and at most ten before it, and `null` for what
/// is not a number. In integers: the formatting of floating point takes 20 KB of flash.
#[derive(Debug, Clone, Copy)]
pub struct Number(pub f32);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_finite() {
            return f.write_str("null");
        }
        let sign = if self.0.is_sign_negative() { "-" } else { "" };
        // Whole and fraction apart, because a single-precision number has 24 bits only.
        let magnitude = self.0.abs().min(MOST);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        let whole = magnitude as u32;
        #[expect(clippy::cast_precision_loss, reason = "exact: it came from such a number")]
        let rest = magnitude - whole as f32;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        let millionths = (rest * 1e6 + 0.5) as u32;
        let carry = millionths / 1_000_000;
        write!(f, "{sign}{}.{:06}", whole + carry, millionths % 1_000_000)
    }
}

/// The largest magnitude that is shown.
const MOST: f32 = 4e9;

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn quotes_backslashes_and_control_characters_are_escaped_and_nothing_else() {
        assert_eq!(Quoted("a\"b\\c\n\u{e9}/").to_string(), "\"a\\\"b\\\\c\\u000a\u{e9}/\"");
        assert_eq!(Quoted("").to_string(), "\"\"");
    }

    #[test]
    fn numbers_are_listed_with_commas_between() {
        assert_eq!(List(&[1.5, -0.25]).to_string(), "[1.500000, -0.250000]");
        assert_eq!(List(&[]).to_string(), "[]");
    }

    #[test]
    fn numbers_are_rounded_carried_limited_and_null_if_they_are_none() {
        let shown = |number| Number(number).to_string();
        assert_eq!(shown(-1.732_050_8), "-1.732051");
        assert_eq!(shown(0.999_999_94), "1.000000");
        assert_eq!(shown(1e30), "4000000000.000000");
        assert_eq!((shown(f32::NAN), shown(f32::INFINITY)), ("null".into(), "null".into()));
    }
}
