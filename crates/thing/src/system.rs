//! What the machine tells of itself, from `/proc` and `/sys`.

use std::path::Path;

use crate::config::System;

/// Where the processor's temperature is.
const TEMPERATURE: &str = "/sys/class/thermal/thermal_zone0/temp";

/// What all processors have spent, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuTime {
    idle: u64,
    total: u64,
}

/// The value now; for the load, also what the next look compares itself with.
pub(crate) fn look(what: &System, before: Option<CpuTime>) -> Result<(f64, Option<CpuTime>), String> {
    let plain = |number| (number, None);
    match what {
        System::CpuTemperature => parse_temperature(&read(TEMPERATURE)?).map(plain),
        System::CpuLoad => {
            let now = CpuTime::parse(&read("/proc/stat")?)?;
            Ok((now.load_since(before.unwrap_or(CpuTime { idle: 0, total: 0 })), Some(now)))
        }
        System::Memory => parse_memory(&read("/proc/meminfo")?).map(plain),
        System::Uptime => parse_uptime(&read("/proc/uptime")?).map(plain),
        System::Disk(path) => disk(path).map(plain),
    }
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

#[cfg(unix)]
fn disk(path: &Path) -> Result<f64, String> {
    let state = rustix::fs::statvfs(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(percent(state.f_blocks.saturating_sub(state.f_bavail), state.f_blocks))
}

#[cfg(not(unix))]
fn disk(path: &Path) -> Result<f64, String> {
    Err(format!("{}: how full it is can be told on Unix only", path.display()))
}

fn parse_temperature(text: &str) -> Result<f64, String> {
    let thousandths: f64 = text.trim().parse().map_err(|_| format!("{TEMPERATURE}: no number"))?;
    Ok(thousandths / 1000.0)
}

fn parse_uptime(text: &str) -> Result<f64, String> {
    let seconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    seconds.ok_or_else(|| "/proc/uptime: no number".to_owned())
}

fn parse_memory(text: &str) -> Result<f64, String> {
    let kilobytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        number.ok_or_else(|| format!("/proc/meminfo: no {name}"))
    };
    let total = kilobytes("MemTotal")?;
    Ok(percent(total.saturating_sub(kilobytes("MemAvailable")?), total))
}

impl CpuTime {
    fn parse(text: &str) -> Result<Self, String> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "));
        let ticks: Vec<u64> = line
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .take(8)
            .collect();
        match ticks[..] {
            // what waits for a disk is idle, too
            [_, _, _, idle, waiting, ..] => Ok(Self {
                idle: idle.saturating_add(waiting),
                total: ticks.iter().fold(0, |sum, part| sum.saturating_add(*part)),
            }),
            _ => Err("/proc/stat: no line for all processors".to_owned()),
        }
    }

    fn load_since(self, before: Self) -> f64 {
        let total = self.total.saturating_sub(before.total);
        let idle = self.idle.saturating_sub(before.idle).min(total);
        percent(total - idle, total)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage needs no more")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: Result<f64, String>, expected: f64) {
        let value = value.unwrap();
        assert!((value - expected).abs() < 1e-9, "{value}");
    }

    #[test]
    fn the_kernels_texts_are_read() {
        close(parse_temperature("48312\n"), 48.312);
        close(parse_uptime("350735.47 234388.90\n"), 350_735.47);
        let memory = "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     250 kB\n";
        close(parse_memory(memory), 75.0);
        assert_eq!(parse_memory("MemTotal: 1 kB").unwrap_err(), "/proc/meminfo: no MemAvailable");
        assert!(parse_temperature("").is_err() && parse_uptime("").is_err());
    }

    #[test]
    fn load_is_of_the_time_between() {
        let stat = |user: u64, idle: u64| {
            CpuTime::parse(&format!("cpu  {user} 0 0 {idle} 5 0 0 0 99 0\ncpu0 1 2 3 4 5\n")).unwrap()
        };
        let (before, now) = (stat(100, 900), stat(175, 925));
        assert!((now.load_since(before) - 75.0).abs() < 1e-9);
        assert!((before.load_since(before)).abs() < 1e-9);
        assert!((before.load_since(now)).abs() < 1e-9, "a counter that goes back");
        assert!(CpuTime::parse("cpu 1 2").is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_values() {
        let value = |what| look(&what, None).unwrap().0;
        for what in [System::CpuLoad, System::Memory, System::Disk("/".into())] {
            assert!((0.0..=100.0).contains(&value(what.clone())), "{what:?}");
        }
        assert!(value(System::Uptime) > 0.0);
        let error = look(&System::Disk("/nonexistent".into()), None).unwrap_err();
        assert!(error.starts_with("/nonexistent: "), "{error}");
    }
}
