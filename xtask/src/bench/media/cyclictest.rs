//! Debian's cyclictest in a stock Linux guest: how late a thread of the highest priority wakes up there, beside hogs, with a
//! reservation and without. It is the kernel's own account of what a guest gets, by a program that others know.

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

use super::cell::{Load, Sched, guest, name};
use crate::board::Board;
use crate::build::Built;
use crate::console::{Line, Paint};
use crate::events::Source;
use crate::paths;
use crate::qemu::Qemu;
use crate::report::{aligned, grouped};
use crate::run::session::Ended;

const SECOND: u64 = 1_000_000_000;
/// Virtual seconds for boot, beside hogs, and for telling.
const PATIENCE: u64 = 60;
/// What the guest may run in each period of the thread, ns: 30 % of a CPU.
const BUDGET: u64 = 300_000;
const PERIOD: u64 = 1_000_000;
/// Latest wake-up that a reservation promises, us.
const LIMIT: u64 = 100;

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) sched: Sched,
    pub(super) load: Load,
    pub(super) cpus: u32,
    pub(super) seconds: u64,
}

/// What cyclictest told, us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Latencies {
    pub(super) total: u64,
    pub(super) min: u64,
    pub(super) avg: u64,
    pub(super) max: u64,
    /// Wake-ups by latency; those above 20,000 us are not among them.
    pub(super) histogram: Vec<(u64, u64)>,
}

impl Row {
    /// Its name, which is its scenario's too.
    pub(super) fn name(&self) -> String {
        format!("cyclictest-{}-{}-{}", name(self.sched), name(self.load), self.cpus)
    }

    /// The text of its scenario.
    pub(super) fn scenario(&self) -> String {
        let Self { sched, load, cpus, seconds } = *self;
        let about = format!("Debian's cyclictest in Linux under `{}`, beside the load `{}`.", name(sched), name(load));
        let mut text = format!(
            "about = \"{about}\"\nlimit_ns = {}\n\n[machine]\ncpus = {cpus}\n\n[hypervisor]\nlog = \"defmt\"\n{}\n[end]\nevent = \
             \"linux\"\nwhere = {{ state = \"done\" }}\n",
            (seconds + PATIENCE) * SECOND,
            sched.option()
        );
        let arguments = format!("console=ttyAMA0 loglevel=4 mk.seconds={seconds} mk.cmd=cyclic");
        text += &guest("test", "image = \"linux-cloud\"", 256, &arguments);
        text += "ramdisk = \"cyclictest\"\nvpl011 = true\n";
        text += &sched.keys(BUDGET, PERIOD);
        text + &load.guests(Board::QemuVirt)
    }

    /// Measures it.
    ///
    /// # Errors
    /// The machine does not end well, or cyclictest did not tell.
    pub(super) fn measure(&self, qemu: &Qemu, built: &Built) -> Result<Latencies> {
        let (_, session) = super::play(self.sched, &self.name(), &self.scenario(), qemu, built)?;
        let log = paths::shown(&session.log);
        anyhow::ensure!(session.ended == Ended::Event, "it did not end well: {:?}; log: {log}", session.ended);
        let of_test = |line: &&Line| line.source == Some(Source::Guest("test".into()));
        parse(session.lines.iter().filter(of_test).map(|line| line.text.as_str()))
            .with_context(|| format!("cyclictest did not tell all that it should; log: {log}"))
    }
}

/// Reads what it prints with `-q -h`; `None` if a total or the histogram is not there, or the two differ.
fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Latencies> {
    let (mut histogram, mut totals) = (Vec::new(), [None; 5]);
    let titles = ["# Total:", "# Min Latencies:", "# Avg Latencies:", "# Max Latencies:", "# Histogram Overflows:"];
    for line in lines {
        let told = titles.iter().position(|title| line.starts_with(title));
        if let Some(at) = told {
            totals[at] = line.rsplit([' ', ':']).next()?.parse::<u64>().ok();
        } else if let Some((latency, count)) = line.split_once(' ')
            && let (Ok(latency), Ok(count)) = (latency.parse::<u64>(), count.parse::<u64>())
            && latency_line(line)
        {
            histogram.push((latency, count));
        }
    }
    let [total, min, avg, max, above] = totals;
    let (total, min, avg, max, above) = (total?, min?, avg?, max?, above?);
    let counted: u64 = histogram.iter().map(|(_, count)| count).sum();
    (total > 0 && counted == total && (above > 0 || histogram.last()?.0 == max)).then_some(Latencies {
        total: total + above,
        min,
        avg,
        max,
        histogram,
    })
}

/// `000012 003400`: nothing else on a Linux console looks like that.
fn latency_line(line: &str) -> bool {
    line.len() == 13 && line.bytes().all(|byte| byte.is_ascii_digit() || byte == b' ')
}

impl Latencies {
    /// The latency that a part of the wake-ups does not pass, us; above the histogram the longest of all.
    pub(super) fn quantile(&self, part: f64) -> u64 {
        let wanted = (self.total as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (latency, count) in &self.histogram {
            seen += count;
            if seen >= wanted {
                return *latency;
            }
        }
        self.max
    }
}

/// An entry of `bench-cyclictest.json`.
#[derive(Serialize)]
struct Entry {
    sched: String,
    load: String,
    cpus: u32,
    seconds: u64,
    error: Option<String>,
    p50_us: Option<u64>,
    p99_us: Option<u64>,
    p999_us: Option<u64>,
    max_us: Option<u64>,
    latencies: Option<Latencies>,
}

/// Prints the table of measured rows and writes `bench-cyclictest.json`; how many keep no promise or have no figures.
///
/// # Errors
/// The file cannot be written.
pub(super) fn tell(rows: &[Row], measured: &[Result<Latencies>], paint: Paint) -> Result<usize> {
    let entries: Vec<Entry> = rows.iter().zip(measured).map(|(row, measured)| entry(row, measured)).collect();
    let path = paths::reports().join("bench-cyclictest.json");
    fs::create_dir_all(paths::reports())?;
    fs::write(&path, serde_json::to_string_pretty(&entries)? + "\n")
        .with_context(|| format!("cannot write {}", path.display()))?;
    print!("{}", table(rows, &entries, paint));
    println!("report: {}", paths::shown(&path));
    Ok(rows.iter().zip(&entries).filter(|(row, entry)| !is_good(row, entry)).count())
}

fn entry(row: &Row, measured: &Result<Latencies>) -> Entry {
    let latencies = measured.as_ref().ok();
    let at = |part| latencies.map(|latencies: &Latencies| latencies.quantile(part));
    Entry {
        sched: name(row.sched),
        load: name(row.load),
        cpus: row.cpus,
        seconds: row.seconds,
        error: measured.as_ref().err().map(|error| format!("{error:#}")),
        p50_us: at(0.5),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: latencies.map(|latencies| latencies.max),
        latencies: latencies.cloned(),
    }
}

/// It has figures, and a reservation on one CPU keeps its promise.
fn is_good(row: &Row, entry: &Entry) -> bool {
    let promised = row.sched.reserves() && row.cpus == 1;
    entry.max_us.is_some_and(|max| !promised || max <= LIMIT)
}

fn table(rows: &[Row], entries: &[Entry], paint: Paint) -> String {
    let head = ["scheduler", "load", "CPUs", "seconds", "wake-ups", "p50 us", "p99", "p99.9", "max"].map(str::to_owned);
    let shown = |figure: Option<u64>| figure.map_or_else(|| "-".to_owned(), grouped);
    let line = |entry: &Entry| {
        let total = entry.latencies.as_ref().map(|latencies| latencies.total);
        let figures = [total, entry.p50_us, entry.p99_us, entry.p999_us, entry.max_us].map(shown);
        let cell = [entry.sched.clone(), entry.load.clone(), entry.cpus.to_string(), entry.seconds.to_string()];
        [cell.to_vec(), figures.to_vec()].concat()
    };
    let text = aligned(&[head.to_vec()].into_iter().chain(entries.iter().map(line)).collect::<Vec<_>>(), Paint::off());
    let mut lines = text.lines();
    let mut painted = lines.next().map(|line| paint.bold(line) + "\n").unwrap_or_default();
    for (line, (row, entry)) in lines.zip(rows.iter().zip(entries)) {
        let promised = row.sched.reserves();
        painted += &match (is_good(row, entry), promised) {
            (false, _) => paint.bad(line),
            (true, true) => paint.good(line),
            (true, false) => line.to_owned(),
        };
        painted.push('\n');
    }
    for entry in entries {
        if let Some(error) = &entry.error {
            painted += &format!("{}-{}: {error}\n", entry.sched, entry.load);
        }
    }
    painted
}

#[cfg(test)]
mod tests {
    use super::{Latencies, Load, Row, Sched, entry, is_good, parse, table};
    use crate::console::Paint;
    use crate::report::tests::scenario;

    const TOLD: &str = "# /dev/cpu_dma_latency set to 0us\n[    1.0] 000001 000002\n# Histogram\n000003 000990\n000120 000010\n\
                        # Min Latencies: 00003\n# Avg Latencies: 00004\n# Max Latencies: 00120\n# Histogram Overflows: 00000\n\
                        # Thread 0:\n@linux state=done";

    fn told(text: &str) -> Option<Latencies> {
        parse(text.replace("# Min", "# Total: 000001000\n# Min").lines())
    }

    #[test]
    fn the_histogram_and_its_totals_are_read() {
        let latencies = told(TOLD).unwrap();
        assert_eq!((latencies.total, latencies.min, latencies.avg, latencies.max), (1_000, 3, 4, 120));
        assert_eq!([0.5, 0.99, 0.999].map(|part| latencies.quantile(part)), [3, 3, 120]);
        let above =
            TOLD.replace("Latencies: 00120", "Latencies: 99999").replace("Overflows: 00000", "Overflows: 00100");
        assert_eq!(told(&above).unwrap().quantile(0.999), 99_999);
    }

    #[test]
    fn what_is_cut_or_does_not_add_up_is_refused() {
        assert_eq!(told(&TOLD.replace("000120 000010\n", "")), None);
        assert_eq!(told(&TOLD.replace("000003 000990\n", "")), None);
        assert_eq!(told(&TOLD.replace("# Max", "#")), None);
        assert_eq!(told(&TOLD.replace("Latencies: 00120", "Latencies: 00121")), None);
    }

    #[test]
    fn only_a_reservation_promises() {
        let row = |sched| Row { sched, load: Load::Hogs, cpus: 1, seconds: 60 };
        let good = |sched| is_good(&row(sched), &entry(&row(sched), &Ok(told(TOLD).unwrap())));
        assert!(good(Sched::Client) && !good(Sched::Reserve));
        let failed = entry(&row(Sched::Client), &Err(anyhow::anyhow!("no")));
        assert!(!is_good(&row(Sched::Client), &failed));
        assert!(table(&[row(Sched::Client)], &[failed], Paint::off()).contains("client-hogs: no"));
        let read = scenario(&row(Sched::Reserve).scenario());
        assert_eq!((read.guests.len(), read.guests[0].budget_ns), (4, Some(300_000)));
    }
}
