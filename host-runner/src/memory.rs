//! How much memory there is, how much a job needs, and how much this process has used.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

/// Refuses to start a job that needs more memory than there is.
///
/// `limit` replaces what the system has available, where a user has set one. Where the system does
/// not say (no `/proc/meminfo`) and there is no limit, every job is let through.
///
/// # Errors
/// If `needed` bytes are more than that; the message says how much is needed and where it goes.
pub fn check(job: &str, needed: u64, limit: Option<u64>) -> Result<()> {
    let Some(available) = limit.or_else(available) else { return Ok(()) };
    if needed <= available {
        return Ok(());
    }
    bail!(
        "{job} needs {} of memory and {} {}; \
         close other programs, use a machine with more memory, or a smaller preset",
        bytes(needed),
        bytes(available),
        if limit.is_some() { "is the limit given" } else { "is available" },
    );
}

/// Bytes that can be had without swapping, if the system says.
#[must_use]
pub fn available() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// The bytes that this process has resident now, if the system says.
#[must_use]
pub fn resident() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The most bytes this process has ever had resident, if the system says.
#[must_use]
pub fn peak() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// A size for people: `1.5 GB`, in powers of 1000.
#[must_use]
pub fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = count as f64;
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", value / 1e6),
        _ => format!("{:.2} GB", value / 1e9),
    }
}

/// Parses a size as people write it: `800M`, `12G`, `7.4GB`, `4096`.
///
/// # Errors
/// If it is not a number with one of the suffixes k, M, G, T, or more than an exabyte.
pub fn parse_bytes(text: &str) -> Result<u64> {
    let wrong = || format!("'{text}' is not a size; write 800M or 7.4G");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    ensure!(digits.bytes().all(|b| b.is_ascii_digit() || b == b'.'), wrong());
    let number: f64 = digits.parse().with_context(wrong)?;
    let factor = match text[digits.len()..].to_ascii_lowercase().trim_end_matches('b') {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "t" => 1e12,
        _ => bail!(wrong()),
    };
    let bytes = (number * factor).round();
    ensure!(bytes <= 1e18, "'{text}' is too large");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10^18")]
    Ok(bytes as u64)
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(field))?;
    let number: u64 = line[field.len()..].split_whitespace().next()?.parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_larger_than_the_limit_is_refused_with_both_figures() {
        let error = check("serving edge-128", 9_000_000_000, Some(2_000_000)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("9.00 GB") && text.contains("2.0 MB"), "{text}");
        assert!(check("serving edge-128", 2_000_000, Some(2_000_000)).is_ok());
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, value) in [
            ("4096", 4096),
            ("12k", 12_000),
            ("800M", 800_000_000),
            ("3GB", 3_000_000_000),
            ("7.4G", 7_400_000_000),
        ] {
            assert_eq!(parse_bytes(text).unwrap(), value);
        }
        for text in ["", "G", ".", "1.5.2G", "1e3", "12X", "-1", "99999999999T"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_systems_fields_are_found() {
        let text = "MemTotal:  100 kB\nMemAvailable:   42 kB\n";
        assert_eq!(kilobytes(text, "MemAvailable:"), Some(42 * 1024));
        assert_eq!(kilobytes(text, "VmHWM:"), None);
    }
}
