//! The page: the table, and for each cell a fold with how late it was in pictures, who ran when, and how to repeat it.

use anyhow::Result;

use super::cell::name;
use super::promise::Verdict;
use super::{Outcome, Run, table};
use crate::report::{chart, document, escape, grouped, quantile_tiles, quantiles, script, section, who_ran};

/// The page's text.
///
/// # Errors
/// A chart cannot be drawn.
pub(super) fn page(outcomes: &[Outcome]) -> Result<String> {
    let bad = outcomes.iter().filter(|outcome| !outcome.reasons().is_empty()).count();
    let kept = outcomes.iter().filter(|outcome| outcome.verdict() == Some(&Verdict::Kept)).count();
    let class = if bad == 0 { "good" } else { "bad" };
    let verdict = format!("<p class=\"verdict {class}\">{kept} promises kept, {bad} broken or without figures</p>");
    let note = "A player with 60 pictures and 100 sound periods a second, and a probe that wakes up each millisecond, beside \
                each load. Late: done after the next release; dropped, and among the late: more than a period late. Times are \
                virtual, an instruction is a nanosecond on one CPU and two on two. A scheduler's name leads to its cell.";
    let mut sections = vec![section("All cells", note, &overview(outcomes))];
    for (number, outcome) in outcomes.iter().enumerate() {
        sections.push(cell(number, outcome)?);
    }
    sections.push(script());
    Ok(document("bench media", &verdict, &sections.concat()))
}

fn overview(outcomes: &[Outcome]) -> String {
    let head: String = table::HEAD.iter().map(|title| format!("<th>{title}</th>")).collect();
    let mut rows = String::new();
    for (number, outcome) in outcomes.iter().enumerate() {
        let class = class(outcome);
        let cells = table::row(outcome);
        let (first, rest) = cells.split_first().map_or((String::new(), &[][..]), |(first, rest)| (escape(first), rest));
        let rest: String = rest.iter().map(|cell| format!("<td{class}>{}</td>", escape(cell))).collect();
        rows.push_str(&format!("<tr><th><a href=\"#cell-{number}\">{first}</a></th>{rest}</tr>"));
    }
    format!("<div class=\"wide\"><table><tr>{head}</tr>{rows}</table></div>")
}

/// The class attribute of a cell's figures.
fn class(outcome: &Outcome) -> &'static str {
    match outcome.verdict() {
        Some(Verdict::Kept) => " class=\"good\"",
        Some(Verdict::None(_)) => "",
        Some(Verdict::Broken(_)) | None => " class=\"bad\"",
    }
}

fn cell(number: usize, outcome: &Outcome) -> Result<String> {
    let cell = &outcome.cell;
    let cpus = if cell.cpus == 1 { "one CPU".to_owned() } else { format!("{} CPUs", cell.cpus) };
    let title = format!("{}, {}, {cpus}", name(cell.sched), name(cell.load));
    let promise = match &outcome.run {
        Ok(Run { verdict: Verdict::Kept, .. }) => "the promise is kept".to_owned(),
        Ok(Run { verdict: Verdict::None(why), .. }) => format!("nothing is promised: {why}"),
        Ok(_) | Err(_) => outcome.reasons().join("; "),
    };
    let mut body = String::new();
    if let Ok(run) = &outcome.run {
        body += &charts("Wake-ups of the player", &run.measured.wakes)?;
        body += &charts("Wake-ups of the probe", &run.measured.probe)?;
        body += &shares(run);
        body += &who_ran(&run.figures, number);
        if cell.sched.is_peers() {
            body += "<p class=\"note\">The peer does not tell who ran when.</p>";
        }
    }
    body += &section("To repeat it", &format!("Seed {}.", cell.seed), &format!("<pre>{}</pre>", cell.command()));
    body += &section("Scenario", "Its machine and guests.", &format!("<pre>{}</pre>", escape(&cell.scenario())));
    if let Ok(run) = &outcome.run {
        let command = format!("<pre>{}</pre>", escape(&run.command));
        body += &section("Emulator", "As it was started.", &command);
    }
    Ok(format!(
        "<details id=\"cell-{number}\"><summary><b>{title}</b> <span{}>{}</span></summary>{body}</details>\n",
        class(outcome),
        escape(&promise)
    ))
}

/// A histogram, and what was later than what.
fn charts(title: &str, wakes: &[u64]) -> Result<String> {
    let (Some(histogram), Some(later), Some(quantiles)) =
        (chart::latencies(wakes)?, chart::later_than(wakes)?, quantiles(wakes))
    else {
        return Ok(String::new());
    };
    let note =
        format!("{}, from the timer's deadline to the first instruction of the handler.", grouped(wakes.len() as u64));
    Ok(section(title, &note, &format!("{}{histogram}{later}", quantile_tiles(quantiles))))
}

fn shares(run: &Run) -> String {
    let percent = |part: f64| format!("{:.2} %", part * 100.0);
    let row = |share: &super::share::Share| {
        let got = share.got.map_or_else(|| "does not tell".to_owned(), percent);
        format!("<tr><th>{}</th><td>{}</td><td>{got}</td></tr>", escape(&share.guest), percent(share.entitled))
    };
    let rows: String = run.measured.shares.iter().map(row).collect();
    let table =
        format!("<div class=\"wide\"><table><tr><th>guest</th><th>entitled</th><th>got</th></tr>{rows}</table></div>");
    section("Shares", "Parts of one CPU while the player played.", &table)
}
