//! The times on one core as a picture: a line for each operation, a dot for each library, time to the
//! right on a logarithmic scale.

use super::row::Library;
use super::table::{OPERATIONS, duration, time};
use core::fmt::Write as _;

/// Pixels: of the whole, left of the scale, of a line, above the lines.
const WIDTH: f64 = 860.0;
const LEFT: f64 = 230.0;
const LINE: f64 = 30.0;
const TOP: f64 = 64.0;

/// Powers of ten seconds at both ends.
const ENDS: (i32, i32) = (-4, 2);

const STYLE: &str = "<style>
text { font: 13px sans-serif; fill: #1f2328 } .grid { stroke: #d0d7de } .span { stroke: #8c959f }
.c0 { fill: #0969da } .c1 { fill: #bc4c00 } .c2 { fill: #8250df } .c3 { fill: #1a7f37 } .c4 { fill: #cf222e }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .grid { stroke: #30363d } .span { stroke: #6e7681 }
.c0 { fill: #58a6ff } .c1 { fill: #f0883e } .c2 { fill: #bc8cff } .c3 { fill: #3fb950 } .c4 { fill: #ff7b72 } }
</style>
";

/// The picture; `libraries[0]` is ours.
pub(crate) fn svg(libraries: &[Library]) -> String {
    let found = OPERATIONS.map(|operation| {
        let times = (0..libraries.len())
            .filter_map(|i| Some((i, time(operation.row(libraries, i, 1)?))))
            .collect::<Vec<_>>();
        (operation.title, times)
    });
    let lines: Vec<_> = found.into_iter().filter(|(_, times)| times.len() > 1).collect();
    let bottom = TOP + LINE * lines.iter().fold(0.0, |count, _| count + 1.0);
    let height = bottom + 30.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Times of operations on one core, ours and those of peers\">\n{STYLE}"
    );
    let shown =
        |index: &usize| lines.iter().any(|(_, times)| times.iter().any(|(i, _)| i == index));
    let mut x = LEFT;
    for index in (0..libraries.len()).filter(shown) {
        let title = &libraries[index].title;
        writeln!(text, "<circle class=\"c{index}\" cx=\"{x}\" cy=\"20\" r=\"6\"/>").ok();
        writeln!(text, "<text x=\"{}\" y=\"25\">{title}</text>", x + 11.0).ok();
        x += 110.0;
    }
    for exponent in ENDS.0..=ENDS.1 {
        let (seconds, x) = (10f64.powi(exponent), place(10f64.powi(exponent)));
        let (top, label) = (TOP - 16.0, duration(seconds).replace(".00", "").replace(".0", ""));
        writeln!(text, "<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/>").ok();
        writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            bottom + 20.0
        )
        .ok();
    }
    let mut y = TOP + LINE / 2.0 - 8.0;
    for (title, times) in &lines {
        let places = times.iter().map(|&(_, seconds)| place(seconds));
        let (first, last) = places.fold((WIDTH, 0f64), |(a, b), x| (a.min(x), b.max(x)));
        writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{title}</text>",
            LEFT - 14.0,
            y + 4.0
        )
        .ok();
        writeln!(text, "<path class=\"span\" d=\"M{first:.1} {y}H{last:.1}\"/>").ok();
        for &(index, seconds) in times.iter().rev() {
            let (x, label) = (place(seconds), duration(seconds));
            writeln!(
                text,
                "<circle class=\"c{index}\" cx=\"{x:.1}\" cy=\"{y}\" r=\"6\"><title>{}: {label}</title></circle>",
                libraries[index].title
            )
            .ok();
        }
        y += LINE;
    }
    text + "</svg>\n"
}

/// Where a time is on the scale.
fn place(seconds: f64) -> f64 {
    let (first, last) = (f64::from(ENDS.0), f64::from(ENDS.1));
    let part = (seconds.log10() - first) / (last - first);
    LEFT + part.clamp(0.0, 1.0) * (WIDTH - LEFT - 30.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_times_are_further_right_and_all_are_inside() {
        let places = [1e-9, 1e-3, 0.5, 1.0, 50.0, 1e9].map(place);
        assert!(places.is_sorted() && places[0] >= LEFT && places[5] <= WIDTH);
        assert!(places[1] < places[2]);
    }

    #[test]
    fn an_operation_that_only_one_library_has_is_left_out() {
        let row = |name: &str| {
            let text = format!(
                r#"{{"name": "{name}", "log_n": 16, "log_q": 1, "threads": 1, "seconds": 1.0,
                "cpu_seconds": 1.0}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let ours = Library::of_this_machine("ours", "1", 0.0, vec![row("rotate"), row("add")]);
        let theirs = Library::of_this_machine("theirs", "1", 0.0, vec![row("rotate")]);
        let picture = svg(&[ours, theirs]);
        assert!(picture.contains(">rotate<") && !picture.contains(">add<"));
    }
}
