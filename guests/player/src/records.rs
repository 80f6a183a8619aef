//! What happened when: releases, completions, wake-ups.

use alloc::vec::Vec;

use rt::{console, print, println, timer};

use crate::audio;

const SECOND: u64 = 1_000_000_000;

/// The two periodic tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Video,
    Audio,
}

/// One job of a task, done; `ready` in nanoseconds from the start.
struct Done {
    ready: u64,
    crc: u32,
    /// It was too late to begin with it.
    left_out: bool,
}

/// All jobs of a task so far. Job n is released at `start + n / rate` seconds and due before the next release.
struct Jobs {
    rate: u64,
    done: Vec<Done>,
}

impl Jobs {
    fn new(rate: u64, seconds: usize) -> Self {
        Self { rate, done: Vec::with_capacity(rate as usize * seconds) }
    }

    /// Nanoseconds from the start to the release of job `number`.
    fn release(&self, number: usize) -> u64 {
        number as u64 * SECOND / self.rate
    }

    /// The same for the job that is to be done next.
    fn next_release(&self) -> u64 {
        self.release(self.done.len())
    }

    /// Was the job ready only after the next release?
    fn is_late(&self, number: usize) -> bool {
        self.done.get(number).is_some_and(|done| done.ready > self.release(number + 1))
    }

    /// Was it late by more than a period, or left out?
    fn is_dropped(&self, number: usize) -> bool {
        self.done.get(number).is_some_and(|done| done.left_out || done.ready > self.release(number + 2))
    }

    fn count(&self, is: fn(&Self, usize) -> bool) -> usize {
        (0..self.done.len()).filter(|&number| is(self, number)).count()
    }
}

pub(crate) struct Records {
    start: u64,
    video: Jobs,
    audio: Jobs,
    wakes: Vec<u64>,
    asleep: u64,
    /// CRCs of the sound periods that were decoded before the start, for a card.
    ahead: Vec<u32>,
}

impl Records {
    /// `start`: first release, nanoseconds on the virtual counter. `rate`: frames a second. `ahead`: CRCs of the
    /// sound periods that are decoded already.
    pub(crate) fn new(start: u64, rate: u64, ahead: Vec<u32>) -> Self {
        // Room for 20 s before a vector has to move.
        let wakes = Vec::with_capacity((rate + audio::RATE) as usize * 20);
        Self { start, video: Jobs::new(rate, 20), audio: Jobs::new(audio::RATE, 20), wakes, asleep: 0, ahead }
    }

    /// The task whose next job is released first; at the same time audio, whose period is the shorter one. Audio ends
    /// with the video, and both are over at `None`.
    pub(crate) fn next(&self, video_finished: bool) -> Option<Task> {
        let (video, audio) = (self.video.next_release(), self.audio.next_release());
        match video_finished {
            true => (audio < video).then_some(Task::Audio),
            false => Some(if audio <= video { Task::Audio } else { Task::Video }),
        }
    }

    /// Sleep to the release of a task's next job and keep how late the wake-up was.
    pub(crate) fn sleep_to_release(&mut self, task: Task) {
        let jobs = if task == Task::Video { &self.video } else { &self.audio };
        let before = timer::now();
        if let Some(latency) = timer::wait_until(self.start + jobs.next_release()) {
            self.wakes.push(latency);
            self.asleep += timer::now() - before;
        }
    }

    /// Pictures so far.
    pub(crate) fn frames(&self) -> u64 {
        self.video.done.len() as u64
    }

    /// Is a task's next job due already, before it is begun?
    pub(crate) fn is_too_late(&self, task: Task) -> bool {
        let jobs = if task == Task::Video { &self.video } else { &self.audio };
        timer::now() > self.start + jobs.release(jobs.done.len() + 1)
    }

    /// A task's next job is done now.
    pub(crate) fn done(&mut self, task: Task, crc: u32) {
        self.note(task, crc, false);
    }

    /// A task's next job is not worth doing any more.
    pub(crate) fn leave_out(&mut self, task: Task) {
        self.note(task, 0, true);
    }

    fn note(&mut self, task: Task, crc: u32, left_out: bool) {
        let done = Done { ready: timer::now() - self.start, crc, left_out };
        match task {
            Task::Video => self.video.done.push(done),
            Task::Audio => self.audio.done.push(done),
        }
    }

    /// A line for people at the end of every second.
    pub(crate) fn print_progress(&self) {
        let frames = self.video.done.len() as u64;
        if frames.is_multiple_of(self.video.rate) {
            let late = (self.video.count(Jobs::is_late), self.audio.count(Jobs::is_late));
            println!(
                "{:2} s: {frames} frames, {} late; {} audio periods late",
                frames / self.video.rate,
                late.0,
                late.1
            );
        }
    }

    /// Print everything, as lines for tools.
    pub(crate) fn print(&self) {
        self.print_load();
        for (number, done) in self.video.done.iter().enumerate() {
            let (due, ready) = self.times(&self.video, number, done);
            let (late, dropped) = (self.video.is_late(number), self.video.is_dropped(number));
            print!("@frame n={number} due_ns={due} ready_ns={ready} ");
            println!("late={} dropped={} crc={:08x}", u8::from(late), u8::from(dropped), done.crc);
        }
        self.ahead.iter().for_each(|crc| println!("@ahead crc={crc:08x}"));
        for (number, done) in self.audio.done.iter().enumerate() {
            let (due, ready) = self.times(&self.audio, number, done);
            let late = u8::from(self.audio.is_late(number));
            println!("@audio n={number} due_ns={due} ready_ns={ready} late={late} crc={:08x}", done.crc);
        }
        console::print_numbers("@wake ns=", &self.wakes);
        let (frames, late, dropped) =
            (self.video.done.len(), self.video.count(Jobs::is_late), self.video.count(Jobs::is_dropped));
        print!("@summary frames={frames} late={late} dropped={dropped} ");
        println!("audio={} audio_late={}", self.audio.done.len(), self.audio.count(Jobs::is_late));
    }

    /// Release and completion on the virtual counter, ns.
    fn times(&self, jobs: &Jobs, number: usize, done: &Done) -> (u64, u64) {
        (self.start + jobs.release(number), self.start + done.ready)
    }

    /// How much of the time went into the work, as seen from here: with neighbours, their time counts too.
    fn print_load(&self) {
        let whole = self.video.next_release();
        let busy = whole.saturating_sub(self.asleep) * 1000 / whole.max(1);
        println!("played {} ms, awake for {}.{} % of it", whole / 1_000_000, busy / 10, busy % 10);
    }
}
