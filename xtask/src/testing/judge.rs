//! Whether a session was what its scenario expects. Every failure names the expectation, so that the log is needed for
//! the reason only.

use crate::console::Line;
use crate::events::{self, Said};
use crate::run::session::{Ended, Session};
use crate::scenario::{End, Expect, Order, Scenario};

/// What failed; empty if the test passed.
pub(super) fn judge(session: &Session, scenario: &Scenario) -> Vec<String> {
    let mut failures: Vec<String> = ending(session, scenario).into_iter().collect();
    failures.extend(session.problems.iter().map(|problem| format!("bad event line: {problem}")));
    let moments = moments(session);
    failures.extend(counted(&moments, scenario));
    match scenario.order {
        Order::Given => failures.extend(ordered(&moments, scenario)),
        Order::Any => failures.extend(unordered(&moments, scenario)),
    }
    for forbidden in &scenario.forbid {
        if let Some(moment) = moments.iter().find(|moment| moment.fits(forbidden)) {
            failures.push(format!("forbidden but said: {forbidden}: `{}`", moment.line.text));
        }
    }
    failures
}

/// A line, with its event if it is one.
struct Moment<'s> {
    line: &'s Line,
    said: Option<&'s Said>,
}

impl Moment<'_> {
    fn fits(&self, expect: &Expect) -> bool {
        match (self.said, &self.line.source) {
            (Some(said), _) => expect.fits(said),
            (None, Some(source)) => expect.fits_text(source, &self.line.text),
            (None, None) => false,
        }
    }
}

/// Joins lines and events, which were recorded in the same order.
fn moments(session: &Session) -> Vec<Moment<'_>> {
    let mut said = session.said.iter().peekable();
    let mut moments = Vec::with_capacity(session.lines.len());
    for line in &session.lines {
        let is_event = line.source.as_ref().is_some_and(|source| {
            said.peek().is_some_and(|next| next.source == *source)
                && matches!(events::parse(source, &line.text), Some(Ok(_)))
        });
        moments.push(Moment { line, said: if is_event { said.next() } else { None } });
    }
    moments
}

fn ending(session: &Session, scenario: &Scenario) -> Option<String> {
    let End { event, .. } = &scenario.end;
    match (&session.ended, event) {
        (Ended::PoweredOff, None) | (Ended::Event, Some(_)) => None,
        (Ended::PoweredOff, Some(event)) => Some(format!("the machine powered off before its end, @{event}")),
        (Ended::Limit | Ended::Event, _) => Some(format!("it did not end within {} virtual ns", scenario.limit_ns)),
        (Ended::Stuck, _) => Some("the machine made no progress for a long time of the host's clock".into()),
        (Ended::Interrupted, _) => Some("interrupted".into()),
        (Ended::Failed(why), _) => Some(why.clone()),
    }
}

/// Expectations that say how often.
fn counted(moments: &[Moment<'_>], scenario: &Scenario) -> Vec<String> {
    let mut failures = Vec::new();
    for expect in &scenario.expect {
        let Some(wanted) = expect.count else { continue };
        let seen = moments.iter().filter(|moment| moment.fits(expect)).count() as u64;
        if seen != wanted {
            failures.push(format!("expected {expect}, said {seen} times"));
        }
    }
    failures
}

/// The first expectation that does not come after the ones before it; later ones say nothing new.
fn ordered(moments: &[Moment<'_>], scenario: &Scenario) -> Option<String> {
    let mut rest = moments.iter();
    for (number, expect) in scenario.expect.iter().filter(|expect| expect.count.is_none()).enumerate() {
        if rest.any(|moment| moment.fits(expect)) {
            continue;
        }
        let early = moments.iter().any(|moment| moment.fits(expect));
        let why = if early { "said only before the expectations above it" } else { "never said" };
        return Some(format!("expectation {} {why}: {expect}", number + 1));
    }
    None
}

fn unordered(moments: &[Moment<'_>], scenario: &Scenario) -> Vec<String> {
    let missing = |expect: &&Expect| expect.count.is_none() && !moments.iter().any(|moment| moment.fits(expect));
    scenario.expect.iter().filter(missing).map(|expect| format!("never said: {expect}")).collect()
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::report::tests::{scenario, session};

    const GUESTS: &str = "about=\"\"\nlimit_ns=1\n[[guest]]\nname=\"probe\"\nprogram=\"probe\"\nmemory_mib=1\n";

    fn failures(expectations: &str, transcript: &str) -> Vec<String> {
        judge(&session(transcript), &scenario(&format!("{expectations}\n{GUESTS}").replace("about", "about")))
    }

    const TRANSCRIPT: &str = "[hyp] hello\n[hyp] @first_guest ns=5\n[probe] hi\n[hyp] @elapsed ns=9\n[hyp] @end\n";

    fn with(rest: &str) -> Vec<String> {
        judge(&session(TRANSCRIPT), &scenario(&format!("{GUESTS}{rest}")))
    }

    #[test]
    fn order_matters_unless_it_does_not() {
        let pair = "[[expect]]\nevent=\"end\"\n[[expect]]\ntext=\"hello\"\n";
        assert_eq!(with(pair), ["expectation 2 said only before the expectations above it: [*] text \"hello\""]);
        assert!(failures("order=\"any\"", TRANSCRIPT).is_empty());
        let any = format!("order=\"any\"\n{GUESTS}{pair}");
        assert!(judge(&session(TRANSCRIPT), &scenario(&any)).is_empty());
    }

    #[test]
    fn counts_fields_and_speakers_are_checked() {
        assert!(with("[[expect]]\nevent=\"elapsed\"\nwhere={ns=\"<10\"}\n").is_empty());
        assert_eq!(with("[[expect]]\nevent=\"elapsed\"\nwhere={ns=\"<9\"}\n").len(), 1);
        assert_eq!(with("[[expect]]\ntext=\"hi\"\nfrom=\"hyp\"\n").len(), 1);
        assert_eq!(with("[[expect]]\nevent=\"end\"\ncount=2\n"), ["expected [*] @end (2 times), said 1 times"]);
    }

    #[test]
    fn forbidden_things_fail() {
        assert_eq!(with("[[forbid]]\ntext=\"hi\"\n"), ["forbidden but said: [*] text \"hi\": `hi`"]);
    }

    #[test]
    fn malformed_events_and_wrong_ends_fail() {
        assert_eq!(failures("", "[hyp] @bot\n").len(), 1);
        assert_eq!(with("[end]\nevent=\"fault\"\n"), ["the machine powered off before its end, @fault"]);
    }
}
