//! Ground truth as comma-separated values, one frame a line.

use volar_synth::{HandTruth, Point};

/// Names of the columns.
pub(crate) fn heading() -> String {
    let named = |names: &[&str]| names.iter().map(|name| format!(",{name}_x,{name}_y")).collect::<String>();
    let tips = named(&["tip_thumb", "tip_index", "tip_middle", "tip_ring", "tip_little"]);
    let valleys = named(&["valley_thumb_index", "valley_index_middle", "valley_middle_ring", "valley_ring_little"]);
    let square = named(&["square_finger_little", "square_finger_thumb", "square_wrist_thumb", "square_wrist_little"]);
    format!("file,person,position,sample,condition{tips}{valleys}{square},visible_area,fingers_degrees\n")
}

/// One line of the table.
pub(crate) fn line(file: &str, person: u64, sample: u64, condition: &str, truth: &HandTruth) -> String {
    let points = |points: &[Point]| points.iter().map(|p| format!(",{:.2},{:.2}", p.x, p.y)).collect::<String>();
    format!(
        "{file},{person},{},{sample},{condition}{}{}{},{},{:.2}\n",
        truth.position,
        points(&truth.finger_tips),
        points(&truth.valleys),
        points(&truth.palm_square),
        truth.visible_area,
        truth.fingers_degrees
    )
}
