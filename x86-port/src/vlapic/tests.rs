use super::*;

fn enabled() -> LocalApic {
    let mut apic = LocalApic::new(1, 4);
    assert_eq!(apic.write(SPURIOUS, 0x1ff, 0), Ok(Effect::None));
    apic
}

#[test]
fn nothing_comes_before_the_guest_switches_it_on() {
    let mut apic = LocalApic::new(0, 1);
    apic.request(0x30);
    assert_eq!(apic.deliverable(), None);
    apic.write(SPURIOUS, 0x1ff, 0).unwrap();
    assert_eq!(apic.deliverable(), Some(0x30));
}

#[test]
fn the_highest_comes_first_and_holds_back_its_class() {
    let mut apic = enabled();
    [0x31, 0x35, 0x41, 15].into_iter().for_each(|vector| apic.request(vector));
    assert_eq!(apic.deliverable(), Some(0x41));
    apic.accept(0x41);
    assert_eq!(apic.deliverable(), None, "a lower class");
    apic.request(0x4f);
    assert_eq!(apic.deliverable(), None, "the same class");
    apic.request(0x50);
    assert_eq!(apic.deliverable(), Some(0x50));
    assert_eq!(apic.read(PROCESSOR_PRIORITY, 0), Ok(0x40));
    apic.write(END, 0, 0).unwrap();
    apic.accept(0x50);
    apic.write(END, 0, 0).unwrap();
    assert_eq!(apic.deliverable(), Some(0x4f));
    assert_eq!(apic.read(REQUESTED + 2, 0), Ok(1 << 15), "0x4f");
    assert_eq!(apic.read(REQUESTED + 1, 0), Ok(1 << 17 | 1 << 21), "0x31, 0x35");
}

#[test]
fn the_task_priority_holds_back_too() {
    let mut apic = enabled();
    apic.request(0x31);
    apic.set_task_priority(3);
    assert_eq!((apic.deliverable(), apic.task_priority()), (None, 3));
    apic.write(TASK_PRIORITY, 0x2f, 0).unwrap();
    assert_eq!((apic.deliverable(), apic.task_priority()), (Some(0x31), 2));
    apic.set_task_priority(2);
    assert_eq!(apic.read(TASK_PRIORITY, 0), Ok(0x2f), "what CR8 cannot show stays");
}

#[test]
fn a_timer_rings_once_or_again_and_again() {
    let mut apic = enabled();
    apic.write(LOCAL_VECTORS, 0x30, 0).unwrap();
    apic.write(DIVIDE, 0b1011, 0).unwrap();
    apic.write(INITIAL_COUNT, 1000, 50).unwrap();
    assert_eq!((apic.deadline(), apic.read(CURRENT_COUNT, 150)), (Some(1050), Ok(900)));
    apic.ring(1049);
    assert_eq!(apic.deliverable(), None);
    apic.ring(1050);
    assert_eq!((apic.deliverable(), apic.deadline()), (Some(0x30), None));
    apic.write(LOCAL_VECTORS, 0x30 | u64::from(PERIODIC), 0).unwrap();
    apic.write(DIVIDE, 0, 0).unwrap();
    apic.write(INITIAL_COUNT, 50, 1000).unwrap();
    assert_eq!(apic.deadline(), Some(1100), "divided by 2");
    apic.ring(1350);
    assert_eq!(apic.deadline(), Some(1400), "what was missed is not made good");
    apic.write(INITIAL_COUNT, 0, 1350).unwrap();
    assert_eq!(apic.deadline(), None);
}

#[test]
fn a_masked_timer_is_silent_and_another_mode_stops_it() {
    let mut apic = enabled();
    apic.write(INITIAL_COUNT, 10, 0).unwrap();
    apic.ring(20);
    assert_eq!(apic.deliverable(), None);
    apic.write(INITIAL_COUNT, 10, 20).unwrap();
    apic.write(LOCAL_VECTORS, 0x30 | u64::from(BY_DEADLINE), 0).unwrap();
    assert_eq!(apic.deadline(), None);
    apic.write(INITIAL_COUNT, 10, 20).unwrap();
    assert_eq!(apic.deadline(), None, "counts mean nothing in this mode");
    apic.set_deadline(Some(77));
    apic.ring(77);
    assert_eq!((apic.deliverable(), apic.deadline()), (Some(0x30), None));
}

#[test]
fn commands_name_their_targets() {
    let mut apic = enabled();
    let mut send = |value: u64| apic.write(COMMAND, value, 0).unwrap();
    let to = |targets| Effect::Interrupt { targets, vector: 0x55 };
    assert_eq!(send(2 << 32 | 0x55), to(0b100));
    assert_eq!(send(9 << 32 | 0x55), to(0), "there is none");
    assert_eq!(send(0xffff_ffff << 32 | 0x55), to(0b1111));
    assert_eq!(send(0b1001 << 32 | 1 << 11 | 0x55), to(0b1001), "logical");
    assert_eq!(send(0b1100 << 32 | 1 << 11 | 1 << 8 | 0x55), to(0b100), "lowest priority: one");
    assert_eq!(send(1 << 18 | 0x55), to(0b10));
    assert_eq!(send(2 << 18 | 0x55), to(0b1111));
    assert_eq!(send(3 << 18 | 0x55), to(0b1101));
    assert_eq!(send(2 << 32 | 0x5), Effect::None, "no interrupt has this vector");
    assert_eq!(send(2 << 32 | 5 << 8), Effect::None, "INIT");
    assert_eq!(send(2 << 32 | 6 << 8 | 0x9), Effect::Start { targets: 0b100, page: 9 });
    assert_eq!(send(1 << 32 | 6 << 8 | 0x9), Effect::Start { targets: 0, page: 9 }, "nobody starts itself");
    assert_eq!(apic.write(SELF, 0x55, 0), Ok(to(0b10)));
}

#[test]
fn what_does_not_exist_is_refused() {
    let mut apic = enabled();
    for register in [0, 1, 4, 9, 0x0c, 0x0e, 0x29, 0x31, 0x3a, 0x40, 0xff] {
        assert_eq!(apic.read(register, 0), Err(Refused), "{register:#x}");
        assert_eq!(apic.write(register, 0, 0), Err(Refused), "{register:#x}");
    }
    assert_eq!(apic.write(ID, 0, 0), Err(Refused));
    assert_eq!(apic.read(END, 0), Err(Refused));
    assert_eq!(apic.write(TASK_PRIORITY, 0x100, 0), Err(Refused));
    assert_eq!(apic.write(SPURIOUS, 1 << 32, 0), Err(Refused));
}

#[test]
fn posted_vectors_arrive_once() {
    let (mut apic, posted) = (enabled(), Posted::new());
    [0x31, 0x7f, 0x80, 0xfe].into_iter().for_each(|vector| posted.post(vector));
    apic.take(&posted);
    for vector in [0xfe, 0x80, 0x7f, 0x31] {
        assert_eq!(apic.deliverable(), Some(vector));
        apic.accept(vector);
        apic.write(END, 0, 0).unwrap();
    }
    apic.take(&posted);
    assert_eq!(apic.deliverable(), None);
    posted.post(0x40);
    posted.clear();
    apic.take(&posted);
    assert_eq!(apic.deliverable(), None);
}
