//! QEMU's `virt` machine with `virtualization=on`.
#![no_std]
#![no_main]

use board::{Board, Console};

board::image!(Board { name: "qemu-virt", consoles: &[Console::Pl011] }.config());
