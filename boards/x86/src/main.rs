//! A PC whose processor has AMD-V or VT-x.
#![no_std]
#![no_main]

hyp_x86::board!(hyp_x86::config::Config { name: "x86" });
