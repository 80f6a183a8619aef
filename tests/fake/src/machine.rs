//! A machine with its hypervisor, driven from one thread.

use std::sync::atomic::{AtomicU64, Ordering};

use hyp_core::arch::Arch;
use hyp_core::cpu::Cpu;
use hyp_core::domain::{DomainConfig, DomainId};
use hyp_core::hypervisor::Hypervisor;
use hyp_core::time::Nanos;

use crate::guest::Maker;
use crate::{Fake, FakeDomain, FakeVcpu};

/// Records of each CPU's trace.
const TRACE: usize = 64;

/// The hypervisor on a machine in memory.
pub struct Machine {
    /// The hypervisor.
    pub hypervisor: Box<Hypervisor<Fake>>,
    cpus: u8,
}

impl Machine {
    /// A machine of `cpus` CPUs.
    pub fn new(cpus: u8) -> Self {
        let hypervisor = Box::new(Hypervisor::new(Fake::new(cpus)));
        hypervisor.set_cpus(cpus);
        Self { hypervisor, cpus }
    }

    /// Adds a domain that runs this program on each of its vCPUs, and starts it.
    pub fn add(&self, config: &DomainConfig<'_>, make: &Maker) -> DomainId {
        self.add_with(config, FakeDomain::default(), make)
    }

    /// The same with this memory.
    pub fn add_with(&self, config: &DomainConfig<'_>, domain: FakeDomain, make: &Maker) -> DomainId {
        let vcpu = |_| FakeVcpu::new(make.clone());
        let id = self.hypervisor.add_domain(config, domain, vcpu).unwrap();
        self.hypervisor.start(id, 0x8000, 0x9000).unwrap();
        id
    }

    /// Its CPUs.
    pub fn cpus(&self) -> Vec<Cpu<'_, Fake>> {
        let cpu = |id| {
            let trace: &'static [AtomicU64] = Box::leak((0..TRACE).map(|_| AtomicU64::new(0)).collect());
            self.hypervisor.cpu(id, trace)
        };
        (0..self.cpus).map(cpu).collect()
    }

    /// Lets the CPUs take turns until the machine is off or it is this late. Returns whether it is off.
    pub fn run(&self, until: Nanos) -> bool {
        self.run_on(&mut self.cpus(), until)
    }

    /// The same, with CPUs that ran before.
    pub fn run_on<'h>(&'h self, cpus: &mut [Cpu<'h, Fake>], until: Nanos) -> bool {
        let arch = self.hypervisor.arch();
        arch.set_limit(until);
        while !arch.off.load(Ordering::Relaxed) && arch.now() < until {
            for (id, cpu) in (0..).zip(cpus.iter_mut()) {
                arch.set_turn(id);
                self.hypervisor.step(cpu);
            }
            assert!(!arch.stuck.load(Ordering::Relaxed), "nothing can wake the machine: {:#?}", self.reports());
        }
        arch.off.load(Ordering::Relaxed)
    }

    /// What was reported so far.
    pub fn reports(&self) -> Vec<String> {
        self.hypervisor.arch().reports.lock().unwrap().clone()
    }

    /// Was a line that contains this reported?
    pub fn reported(&self, part: &str) -> bool {
        self.reports().iter().any(|line| line.contains(part))
    }

    /// What a domain printed.
    pub fn console(&self, domain: DomainId) -> String {
        self.hypervisor.arch().consoles.lock().unwrap()[usize::from(domain.number())].clone()
    }
}
