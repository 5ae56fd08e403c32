//! A chart of a run: the rate of each work next to its floor.

use std::{fmt::Write, fs, path::Path};

const WIDTH: f64 = 420.0;
const LEFT: f64 = 310.0;
const ROW: usize = 52;

/// Work with the responses per second of the server and of the floor.
pub struct Pair {
    pub name: &'static str,
    pub ours: f64,
    pub floor: f64,
}

/// Draws the pairs as an SVG, each on its own scale.
pub fn draw(pairs: &[Pair], path: &Path) {
    let height = pairs.len() * ROW + 64;
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="880" height="{height}" font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="#fff"/><text x="12" y="24" font-size="15" font-weight="bold">Requests a second in the median round: QuantumVault, and a floor without GraphQL, sessions or limits</text>"##
    );
    for (place, Pair { name, ours, floor }) in pairs.iter().enumerate() {
        let top = place * ROW + 44;
        write!(out, r#"<text x="12" y="{}">{name}</text>"#, top + 22).expect("room");
        for (row, (rate, colour, who)) in
            [(ours, "#3566b8", "QuantumVault"), (floor, "#9aa4b2", "floor")].iter().enumerate()
        {
            let (y, width) = (top + row * 20, *rate / ours.max(*floor) * WIDTH);
            write!(
                out,
                r#"<rect x="{LEFT}" y="{y}" width="{width:.0}" height="17" fill="{colour}"/><text x="{:.0}" y="{}">{rate:.0} {who}</text>"#,
                LEFT + width + 6.0,
                y + 13
            )
            .expect("room");
        }
    }
    out.push_str("</svg>\n");
    fs::write(path, out).expect("a picture");
}
