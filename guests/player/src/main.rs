//! The media player guest.
//!
//! This is whom the hypervisor is for: real H.264 and MP3, decoded against a clock, every deadline written down. The
//! picture's CRCs show that the decoding was real and right; the times show what the neighbours cost.
//!
//! One loop serves two periodic tasks, always the one whose next release comes first: video frames at the clip's own
//! rate and audio periods of 10 ms. It sleeps to each release by the virtual timer and keeps how late it woke. Nothing
//! is printed while it plays but a line a second, since a console costs time; the records follow at the end.
//!
//! With `frames=` among its boot arguments it ends after so many frames, for machines that are slow to emulate.
//! With `devices=yes` it shows its pictures on a display and plays its sound on a card, of those that an I/O domain gives it: see
//! [`devices`].
//! With `work=` among its boot arguments it counts instead of decoding: see [`counted`].
#![no_std]
#![no_main]

extern crate alloc;

mod archive;
mod audio;
mod counted;
mod crc;
mod devices;
mod picture;
mod records;
mod video;

use alloc::vec::Vec;

use rt::{Machine, println, timer};

use crate::devices::Devices;
use crate::records::{Records, Task};

rt::entry!(main);

/// From "ready" to the first release: enough to print a line.
const LEAD_IN: u64 = 5_000_000;

fn main(machine: &'static Machine) {
    if let Some(work) = counted::Work::wanted(machine) {
        return work.run();
    }
    let Some(disk) = machine.initrd else {
        println!("player: no RAM disk (/chosen linux,initrd-start): give the domain a multiboot,ramdisk with the clip");
        rt::power::crash();
    };
    let (Some(video), Some(sound)) = (archive::find(disk, "video.h264"), archive::find(disk, "audio.mp3")) else {
        println!("player: the RAM disk is no newc cpio archive with video.h264 and audio.mp3");
        rt::power::crash();
    };
    let (mut video, mut sound) = match (video::Video::open(video), audio::Audio::open(sound)) {
        (Ok(video), Ok(sound)) => (video, sound),
        (Err(error), _) | (_, Err(error)) => {
            println!("player: {error}");
            rt::power::crash();
        }
    };
    println!("player: {} frames a second, audio of {} Hz in periods of 10 ms", video.rate(), sound.sample_rate());
    let most = machine.argument("frames").and_then(|number| number.parse().ok()).unwrap_or(u64::MAX);
    let mut devices = (machine.argument("devices") == Some("yes")).then(|| open(machine, &video, &sound));
    let records = play(&mut video, &mut sound, &mut devices, most);
    if let Some(Err(trouble)) = devices.as_mut().map(Devices::report) {
        println!("player: the I/O domain does not say what its devices did: {trouble}");
    }
    records.print();
    if video.errors() != 0 {
        println!("player: the decoder refused {} units of video.h264", video.errors());
    }
}

/// The devices that it is to have.
fn open(machine: &'static Machine, video: &video::Video, sound: &audio::Audio) -> Devices {
    let Some(size) = video.size() else {
        println!("player: devices=yes, but the pictures are not of 8 bits with a colour for four pixels (4:2:0)");
        rt::power::crash();
    };
    Devices::open(machine, size, sound.form()).unwrap_or_else(|trouble| {
        println!("player: devices=yes, but it cannot have them of an I/O domain: {trouble}");
        rt::power::crash();
    })
}

/// Play to the end of the video, or so many frames of it.
fn play(video: &mut video::Video, sound: &mut audio::Audio, devices: &mut Option<Devices>, most: u64) -> Records {
    let mut ahead = Vec::new();
    if let Some(devices) = devices.as_mut() {
        for _ in 0..devices.ahead() {
            ahead.push(sound.next_period());
            devices.play(sound.samples());
        }
        devices.start();
    }
    let mut records = Records::new(timer::now() + LEAD_IN, video.rate(), ahead);
    while let Some(task) = records.next(video.is_finished() || records.frames() >= most) {
        records.sleep_to_release(task);
        let crc = match task {
            Task::Video => {
                let frame = video.next_frame();
                if let (Some(devices), Some(frame)) = (devices.as_mut(), &frame) {
                    devices.show(frame);
                }
                video::crc(frame.as_ref())
            }
            Task::Audio => {
                let crc = sound.next_period();
                if let Some(devices) = devices.as_mut() {
                    devices.play(sound.samples());
                }
                crc
            }
        };
        records.done(task, crc);
        if task == Task::Video {
            records.print_progress();
        }
    }
    records
}
