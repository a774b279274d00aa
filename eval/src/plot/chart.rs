//! Drawing a chart as SVG. Colours are classes, so that a page can give them to light and dark; a chart of its own
//! brings [`STYLE`].

use std::fmt::Write;

use super::scale::Scale;

/// Size in SVG units.
pub(super) const SIZE: (f64, f64) = (720.0, 440.0);
const LEFT: f64 = 84.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 62.0;

/// Colours of a chart outside the report.
pub(super) const STYLE: &str = "text{font-family:'DejaVu Sans',sans-serif;font-size:13px;fill:#334155}\
    .ground{fill:#ffffff}.grid{stroke:#e2e8f0;stroke-width:1}.frame{fill:none;stroke:#94a3b8;stroke-width:1}\
    .name{font-weight:bold;fill:#0f172a}.a{fill:none;stroke:#0f766e;stroke-width:2.5}\
    .b{fill:none;stroke:#c2410c;stroke-width:2.5}.c{fill:none;stroke:#64748b;stroke-width:1.5;stroke-dasharray:6 5}\
    .fa{fill:#0f766e;fill-opacity:.32}.fb{fill:#c2410c;fill-opacity:.28}.solid{fill:#0f766e}\
    .dim{fill:#94a3b8;fill-opacity:.16}.dot{fill:#0f766e;stroke:#ffffff;stroke-width:2}.small{font-size:12px}";

/// A chart being drawn.
pub(super) struct Chart {
    x: Scale,
    y: Scale,
    body: String,
}

/// Where text stands to its point.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

impl Chart {
    /// An empty chart with its grid and the names of its axes.
    pub(super) fn new(x: Scale, y: Scale, x_name: &str, y_name: &str) -> Self {
        let mut chart = Self { x, y, body: String::new() };
        let (width, height) = SIZE;
        for (number, label) in x.ticks() {
            let at = chart.across(number);
            chart.line("grid", [(at, TOP), (at, height - BOTTOM)]);
            chart.text("", at, height - BOTTOM + 20.0, Anchor::Middle, &label);
        }
        for (number, label) in y.ticks() {
            let at = chart.down(number);
            chart.line("grid", [(LEFT, at), (width - RIGHT, at)]);
            chart.text("", LEFT - 9.0, at + 4.5, Anchor::End, &label);
        }
        let (across, down) = (width - LEFT - RIGHT, height - TOP - BOTTOM);
        let _ = write!(chart.body, r#"<rect class="frame" x="{LEFT}" y="{TOP}" width="{across}" height="{down}"/>"#);
        chart.text("name", LEFT + across / 2.0, height - 16.0, Anchor::Middle, x_name);
        let middle = TOP + down / 2.0;
        let _ = write!(
            chart.body,
            r#"<text class="name" text-anchor="middle" transform="translate(18 {middle}) rotate(-90)">{}</text>"#,
            escaped(y_name)
        );
        chart
    }

    /// A line through points of numbers.
    pub(super) fn curve(&mut self, class: &str, points: &[(f64, f64)]) {
        let places: Vec<String> =
            points.iter().map(|&(x, y)| format!("{:.1},{:.1}", self.across(x), self.down(y))).collect();
        let _ = write!(self.body, r#"<polyline class="{class}" points="{}"/>"#, places.join(" "));
    }

    /// The area between points and the axis below.
    pub(super) fn area(&mut self, class: &str, points: &[(f64, f64)]) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
        let ground = SIZE.1 - BOTTOM;
        let mut path = format!("M{:.1},{ground}", self.across(first.0));
        for &(x, y) in points {
            let _ = write!(path, "L{:.1},{:.1}", self.across(x), self.down(y));
        }
        let _ = write!(path, "L{:.1},{ground}Z", self.across(last.0));
        let _ = write!(self.body, r#"<path class="{class}" d="{path}"/>"#);
    }

    /// A shaded part of the chart, from corner to corner.
    pub(super) fn shade(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let (x, y) = (self.across(from.0), self.down(to.1));
        let (width, height) = (self.across(to.0) - x, self.down(from.1) - y);
        let _ = write!(
            self.body,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"/>"#
        );
    }

    /// An upright line at a number, named at its top; `row` keeps names of neighbours apart.
    pub(super) fn mark(&mut self, number: f64, name: &str, row: usize) {
        let at = self.across(number);
        self.line("c", [(at, TOP), (at, SIZE.1 - BOTTOM)]);
        let (anchor, aside) = if at > SIZE.0 * 0.62 { (Anchor::End, -6.0) } else { (Anchor::Start, 6.0) };
        self.text("small", at + aside, TOP + 68.0 + 18.0 * row as f64, anchor, name);
    }

    /// A point with its name.
    pub(super) fn point(&mut self, at: (f64, f64), name: &str) {
        let (x, y) = (self.across(at.0), self.down(at.1));
        let _ = write!(self.body, r#"<circle class="dot" cx="{x:.1}" cy="{y:.1}" r="5.5"/>"#);
        self.text("small", x + 10.0, y - 8.0, Anchor::Start, name);
    }

    /// Text at a place of numbers.
    pub(super) fn note(&mut self, at: (f64, f64), anchor: Anchor, text: &str) {
        let (x, y) = (self.across(at.0), self.down(at.1));
        self.text("small", x, y, anchor, text);
    }

    /// What the colours mean, at the upper right.
    pub(super) fn legend(&mut self, entries: &[(&str, &str)]) {
        for (row, (class, name)) in entries.iter().enumerate() {
            let y = TOP + 18.0 + 20.0 * row as f64;
            let x = SIZE.0 - RIGHT - 14.0;
            if *class == "c" {
                self.line("c", [(x - 26.0, y - 4.5), (x, y - 4.5)]);
                self.text("small", x - 34.0, y, Anchor::End, name);
                continue;
            }
            let _ = write!(
                self.body,
                r#"<rect class="{class}" x="{:.1}" y="{:.1}" width="14" height="12"/>"#,
                x - 14.0,
                y - 10.5
            );
            self.text("small", x - 22.0, y, Anchor::End, name);
        }
    }

    /// The chart for a page that has the colours.
    pub(super) fn inline(&self, title: &str) -> String {
        self.svg(title, "")
    }

    /// The chart as a file of its own.
    pub(super) fn standalone(&self, title: &str) -> String {
        self.svg(title, STYLE)
    }

    fn svg(&self, title: &str, style: &str) -> String {
        svg(title, style, SIZE, &self.body)
    }

    fn across(&self, number: f64) -> f64 {
        LEFT + self.x.place(number) * (SIZE.0 - LEFT - RIGHT)
    }

    fn down(&self, number: f64) -> f64 {
        SIZE.1 - BOTTOM - self.y.place(number) * (SIZE.1 - TOP - BOTTOM)
    }

    fn line(&mut self, class: &str, [(x1, y1), (x2, y2)]: [(f64, f64); 2]) {
        let _ = write!(self.body, r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#);
    }

    fn text(&mut self, class: &str, x: f64, y: f64, anchor: Anchor, text: &str) {
        self.body += &text_at(class, x, y, anchor, text);
    }
}

/// Text at a place of the picture.
pub(super) fn text_at(class: &str, x: f64, y: f64, anchor: Anchor, text: &str) -> String {
    let anchor = anchor.word();
    let text = escaped(text);
    format!(r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#)
}

/// A whole SVG.
pub(super) fn svg(title: &str, style: &str, (width, height): (f64, f64), body: &str) -> String {
    let title = escaped(title);
    let style = if style.is_empty() { String::new() } else { format!("<style>{style}</style>") };
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}"><title>{title}</title>{style}<rect class="ground" width="{width}" height="{height}"/>{body}</svg>"#
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let mut chart =
            Chart::new(Scale::Linear { from: 0.0, to: 1.0 }, Scale::Linear { from: 0.0, to: 1.0 }, "a<b", "y");
        chart.note((0.5, 0.5), Anchor::Middle, "<script>\"&");
        let svg = chart.standalone("t");
        assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;&quot;&amp;") && svg.contains("a&lt;b"));
    }
}
