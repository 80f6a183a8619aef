//! What a guest does when it cannot go on: it says so and ends as crashed, so that nobody waits for it.

use core::panic::PanicInfo;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    crate::cpu::mask_interrupts();
    crate::console::steal();
    crate::println!("{info}");
    crate::power::crash()
}
