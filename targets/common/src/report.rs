//! Text as a JSON string, for reports that leave the device as one JSON object a line.

use core::fmt::{self, Write};

/// Shows a string with its quotes and the escapes that JSON asks for (RFC 8259, section 7).
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if u32::from(c) < 0x20 => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn quotes_backslashes_and_control_characters_are_escaped_and_nothing_else() {
        assert_eq!(Quoted("a\"b\\c\n\u{e9}/").to_string(), "\"a\\\"b\\\\c\\u000a\u{e9}/\"");
        assert_eq!(Quoted("").to_string(), "\"\"");
    }
}
