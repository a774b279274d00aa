//! Serves the status page in whatever state is typed: for looking at it, and for taking its picture.
//!
//! Arguments: the language (`en`, `fr` or `de`), then optionally the port and the other way to enter. Each line of
//! standard input is a screen's name and perhaps a guidance or seconds of lock-out: `idle`,
//! `guidance closer`, `admitted`, `locked-out 30`, `refused`, `unreachable`.

use std::error::Error;
use std::io::BufRead;

use tokio_util::sync::CancellationToken;
use volar_core::clock::Clock;
use volar_gate::config::{Language, WhenUnreachable};
use volar_gate::screen::{Display, Fixed, Screen};
use volar_palm::guidance::Guidance;
use volar_service::system::SystemClock;
use volar_service::web::Web;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let language = match arguments.next().as_deref() {
        Some("fr") => Language::Fr,
        Some("de") => Language::De,
        _ => Language::En,
    };
    let port: u16 = arguments.next().map_or(Ok(7420), |port| port.parse())?;
    let other_way = arguments.next();
    let runtime = tokio::runtime::Runtime::new()?;
    let web = runtime.block_on(Web::bind(([127, 0, 0, 1], port).into()))?;
    eprintln!("http://{}/", web.address());
    let lane = "lane-1".parse()?;
    let fixed = Fixed { language, lane, other_way, when_unreachable: WhenUnreachable::StayClosed, stage: false };
    let display = Display::new(fixed);
    runtime.spawn(web.serve(volar_gate::router(display.clone(), None), CancellationToken::new()));
    for line in std::io::stdin().lock().lines() {
        if !show(&display, line?.trim()) {
            eprintln!("no such screen");
        }
    }
    Ok(())
}

fn show(display: &Display, line: &str) -> bool {
    let (name, more) = line.split_once(' ').unwrap_or((line, ""));
    match name {
        "idle" => display.show(Screen::Idle),
        "starting" => display.show(Screen::Starting),
        "identifying" => display.show(Screen::Identifying),
        "admitted" => display.show(Screen::Admitted),
        "step-up" => display.show(Screen::StepUp),
        "refused" => display.show(Screen::Refused),
        "code-refused" => display.show(Screen::CodeRefused),
        "code-unavailable" => display.show(Screen::CodeUnavailable),
        // What is typed leads nowhere.
        "keypad" => drop(display.ask(SystemClock.now().unix_milliseconds() + 30_000)),
        "retry" => display.show(Screen::Retry),
        "unreachable" => display.show(Screen::Unreachable),
        "sensor" => display.show(Screen::Sensor),
        "locked-out" => {
            let seconds: u64 = more.parse().unwrap_or(30);
            display.lock("LOCKED_OUT", SystemClock.now().unix_milliseconds() + seconds * 1_000);
        }
        "guidance" => {
            let guidance = Guidance::ALL.into_iter().find(|guidance| guidance.as_str() == more);
            display.guide(guidance, if guidance.is_none() { 0.6 } else { 0.0 });
        }
        _ => return false,
    }
    true
}
