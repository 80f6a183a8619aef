//! What is compared. One line for each number, one for each structure.

use std::mem::{offset_of, size_of};

use xen_abi::shared_info::Layout;
use xen_abi::{
    arch_arm, arch_x86, console, domctl, domid, event_channel, features, grant_table, hvm, hypercall, memory, sched,
    shared_info, start_info, vcpu, version, virq, vm_assist,
};

use crate::Claim;

/// The headers that the names below come from, beside `errno.h`.
pub(crate) const HEADERS: &[&str] = &[
    "xen.h",
    "arch-x86/cpuid.h",
    "arch-x86/hvm/start_info.h",
    "domctl.h",
    "elfnote.h",
    "event_channel.h",
    "features.h",
    "grant_table.h",
    "hvm/hvm_op.h",
    "hvm/params.h",
    "io/blkif.h",
    "io/console.h",
    "io/fbif.h",
    "io/kbdif.h",
    "io/netif.h",
    "io/ring.h",
    "io/sndif.h",
    "io/xenbus.h",
    "io/xs_wire.h",
    "memory.h",
    "sched.h",
    "vcpu.h",
    "version.h",
];

/// Where the union of an operation on the scheduler begins.
const IN_UNION: u64 = (offset_of!(domctl::SchedulerControl, op) + offset_of!(domctl::SchedulerOp, u)) as u64;

/// C expression, Rust constant.
#[allow(clippy::unnecessary_cast, reason = "so that a line need not know the width of its constant")]
const NUMBERS: &[(&str, u64)] = &[
    ("GUEST_GICD_BASE", arch_arm::GUEST_GICD_BASE as u64),
    ("GUEST_GICD_SIZE", arch_arm::GUEST_GICD_SIZE as u64),
    ("GUEST_GICC_BASE", arch_arm::GUEST_GICC_BASE as u64),
    ("GUEST_GICC_SIZE", arch_arm::GUEST_GICC_SIZE as u64),
    ("GUEST_GICV3_GICD_BASE", arch_arm::GUEST_GICV3_GICD_BASE as u64),
    ("GUEST_GICV3_GICD_SIZE", arch_arm::GUEST_GICV3_GICD_SIZE as u64),
    ("GUEST_GICV3_GICR0_BASE", arch_arm::GUEST_GICV3_GICR0_BASE as u64),
    ("GUEST_GICV3_GICR0_SIZE", arch_arm::GUEST_GICV3_GICR0_SIZE as u64),
    ("GUEST_PL011_BASE", arch_arm::GUEST_PL011_BASE as u64),
    ("GUEST_PL011_SIZE", arch_arm::GUEST_PL011_SIZE as u64),
    ("GUEST_GNTTAB_BASE", arch_arm::GUEST_GNTTAB_BASE as u64),
    ("GUEST_GNTTAB_SIZE", arch_arm::GUEST_GNTTAB_SIZE as u64),
    ("GUEST_MAGIC_BASE", arch_arm::GUEST_MAGIC_BASE as u64),
    ("GUEST_MAGIC_SIZE", arch_arm::GUEST_MAGIC_SIZE as u64),
    ("GUEST_RAM0_BASE", arch_arm::GUEST_RAM0_BASE as u64),
    ("GUEST_RAM0_SIZE", arch_arm::GUEST_RAM0_SIZE as u64),
    ("GUEST_RAM1_BASE", arch_arm::GUEST_RAM1_BASE as u64),
    ("GUEST_RAM1_SIZE", arch_arm::GUEST_RAM1_SIZE as u64),
    ("GUEST_TIMER_VIRT_PPI", arch_arm::GUEST_TIMER_VIRT_PPI as u64),
    ("GUEST_TIMER_PHYS_S_PPI", arch_arm::GUEST_TIMER_PHYS_S_PPI as u64),
    ("GUEST_TIMER_PHYS_NS_PPI", arch_arm::GUEST_TIMER_PHYS_NS_PPI as u64),
    ("GUEST_EVTCHN_PPI", arch_arm::GUEST_EVTCHN_PPI as u64),
    ("GUEST_VPL011_SPI", arch_arm::GUEST_VPL011_SPI as u64),
    ("GUEST_MAX_VCPUS", arch_arm::GUEST_MAX_VCPUS as u64),
    ("XEN_CPUID_FIRST_LEAF", arch_x86::XEN_CPUID_FIRST_LEAF as u64),
    ("XEN_CPUID_SIGNATURE_EBX", arch_x86::XEN_CPUID_SIGNATURE_EBX as u64),
    ("XEN_CPUID_SIGNATURE_ECX", arch_x86::XEN_CPUID_SIGNATURE_ECX as u64),
    ("XEN_CPUID_SIGNATURE_EDX", arch_x86::XEN_CPUID_SIGNATURE_EDX as u64),
    ("XEN_HVM_CPUID_APIC_ACCESS_VIRT", arch_x86::XEN_HVM_CPUID_APIC_ACCESS_VIRT as u64),
    ("XEN_HVM_CPUID_X2APIC_VIRT", arch_x86::XEN_HVM_CPUID_X2APIC_VIRT as u64),
    ("XEN_HVM_CPUID_VCPU_ID_PRESENT", arch_x86::XEN_HVM_CPUID_VCPU_ID_PRESENT as u64),
    ("XEN_HVM_CPUID_DOMID_PRESENT", arch_x86::XEN_HVM_CPUID_DOMID_PRESENT as u64),
    ("XEN_HVM_CPUID_UPCALL_VECTOR", arch_x86::XEN_HVM_CPUID_UPCALL_VECTOR as u64),
    ("XEN_CPUID_MAX_NUM_LEAVES", arch_x86::XEN_CPUID_MAX_NUM_LEAVES as u64),
    ("CONSOLEIO_write", console::CONSOLEIO_WRITE as u64),
    ("CONSOLEIO_read", console::CONSOLEIO_READ as u64),
    ("XEN_DOMCTL_INTERFACE_VERSION", domctl::XEN_DOMCTL_INTERFACE_VERSION as u64),
    ("XEN_DOMCTL_scheduler_op", domctl::XEN_DOMCTL_SCHEDULER_OP as u64),
    ("XEN_SCHEDULER_CREDIT", domctl::XEN_SCHEDULER_CREDIT as u64),
    ("XEN_SCHEDULER_RTDS", domctl::XEN_SCHEDULER_RTDS as u64),
    ("XEN_SCHEDULER_NULL", domctl::XEN_SCHEDULER_NULL as u64),
    ("XEN_DOMCTL_SCHEDOP_putinfo", domctl::XEN_DOMCTL_SCHEDOP_PUTINFO as u64),
    ("XEN_DOMCTL_SCHEDOP_getinfo", domctl::XEN_DOMCTL_SCHEDOP_GETINFO as u64),
    ("XEN_DOMCTL_SCHEDOP_putvcpuinfo", domctl::XEN_DOMCTL_SCHEDOP_PUTVCPUINFO as u64),
    ("XEN_DOMCTL_SCHEDOP_getvcpuinfo", domctl::XEN_DOMCTL_SCHEDOP_GETVCPUINFO as u64),
    ("XEN_DOMCTL_SCHEDRT_extra", domctl::XEN_DOMCTL_SCHEDRT_EXTRA as u64),
    ("offsetof(struct xen_domctl, cmd)", offset_of!(domctl::SchedulerControl, cmd) as u64),
    ("offsetof(struct xen_domctl, interface_version)", offset_of!(domctl::SchedulerControl, interface_version) as u64),
    ("offsetof(struct xen_domctl, domain)", offset_of!(domctl::SchedulerControl, domain) as u64),
    ("offsetof(struct xen_domctl, u.scheduler_op)", offset_of!(domctl::SchedulerControl, op) as u64),
    ("offsetof(struct xen_domctl, u.scheduler_op.u.v.vcpus)", IN_UNION + offset_of!(domctl::Vcpus, vcpus) as u64),
    ("offsetof(struct xen_domctl, u.scheduler_op.u.v.nr_vcpus)", IN_UNION + offset_of!(domctl::Vcpus, nr_vcpus) as u64),
    ("DOMID_FIRST_RESERVED", domid::DOMID_FIRST_RESERVED as u64),
    ("DOMID_SELF", domid::DOMID_SELF as u64),
    ("DOMID_IO", domid::DOMID_IO as u64),
    ("DOMID_XEN", domid::DOMID_XEN as u64),
    ("DOMID_COW", domid::DOMID_COW as u64),
    ("DOMID_INVALID", domid::DOMID_INVALID as u64),
    ("DOMID_IDLE", domid::DOMID_IDLE as u64),
    ("EVTCHNOP_bind_interdomain", event_channel::EVTCHNOP_BIND_INTERDOMAIN as u64),
    ("EVTCHNOP_bind_virq", event_channel::EVTCHNOP_BIND_VIRQ as u64),
    ("EVTCHNOP_bind_pirq", event_channel::EVTCHNOP_BIND_PIRQ as u64),
    ("EVTCHNOP_close", event_channel::EVTCHNOP_CLOSE as u64),
    ("EVTCHNOP_send", event_channel::EVTCHNOP_SEND as u64),
    ("EVTCHNOP_status", event_channel::EVTCHNOP_STATUS as u64),
    ("EVTCHNOP_alloc_unbound", event_channel::EVTCHNOP_ALLOC_UNBOUND as u64),
    ("EVTCHNOP_bind_ipi", event_channel::EVTCHNOP_BIND_IPI as u64),
    ("EVTCHNOP_bind_vcpu", event_channel::EVTCHNOP_BIND_VCPU as u64),
    ("EVTCHNOP_unmask", event_channel::EVTCHNOP_UNMASK as u64),
    ("EVTCHNOP_reset", event_channel::EVTCHNOP_RESET as u64),
    ("EVTCHNOP_init_control", event_channel::EVTCHNOP_INIT_CONTROL as u64),
    ("EVTCHNOP_expand_array", event_channel::EVTCHNOP_EXPAND_ARRAY as u64),
    ("EVTCHNOP_set_priority", event_channel::EVTCHNOP_SET_PRIORITY as u64),
    ("EVTCHNSTAT_closed", event_channel::EVTCHNSTAT_CLOSED as u64),
    ("EVTCHNSTAT_unbound", event_channel::EVTCHNSTAT_UNBOUND as u64),
    ("EVTCHNSTAT_interdomain", event_channel::EVTCHNSTAT_INTERDOMAIN as u64),
    ("EVTCHNSTAT_pirq", event_channel::EVTCHNSTAT_PIRQ as u64),
    ("EVTCHNSTAT_virq", event_channel::EVTCHNSTAT_VIRQ as u64),
    ("EVTCHNSTAT_ipi", event_channel::EVTCHNSTAT_IPI as u64),
    ("EVTCHN_FIFO_PRIORITY_MAX", event_channel::EVTCHN_FIFO_PRIORITY_MAX as u64),
    ("EVTCHN_FIFO_PRIORITY_DEFAULT", event_channel::EVTCHN_FIFO_PRIORITY_DEFAULT as u64),
    ("EVTCHN_FIFO_PRIORITY_MIN", event_channel::EVTCHN_FIFO_PRIORITY_MIN as u64),
    ("EVTCHN_FIFO_MAX_QUEUES", event_channel::EVTCHN_FIFO_MAX_QUEUES as u64),
    ("EVTCHN_FIFO_PENDING", event_channel::EVTCHN_FIFO_PENDING as u64),
    ("EVTCHN_FIFO_MASKED", event_channel::EVTCHN_FIFO_MASKED as u64),
    ("EVTCHN_FIFO_LINKED", event_channel::EVTCHN_FIFO_LINKED as u64),
    ("EVTCHN_FIFO_BUSY", event_channel::EVTCHN_FIFO_BUSY as u64),
    ("EVTCHN_FIFO_LINK_BITS", event_channel::EVTCHN_FIFO_LINK_BITS as u64),
    ("EVTCHN_FIFO_LINK_MASK", event_channel::EVTCHN_FIFO_LINK_MASK as u64),
    ("EVTCHN_FIFO_NR_CHANNELS", event_channel::EVTCHN_FIFO_NR_CHANNELS as u64),
    ("EVTCHN_2L_NR_CHANNELS", event_channel::EVTCHN_2L_NR_CHANNELS as u64),
    ("XENFEAT_writable_page_tables", features::XENFEAT_WRITABLE_PAGE_TABLES as u64),
    ("XENFEAT_writable_descriptor_tables", features::XENFEAT_WRITABLE_DESCRIPTOR_TABLES as u64),
    ("XENFEAT_auto_translated_physmap", features::XENFEAT_AUTO_TRANSLATED_PHYSMAP as u64),
    ("XENFEAT_supervisor_mode_kernel", features::XENFEAT_SUPERVISOR_MODE_KERNEL as u64),
    ("XENFEAT_pae_pgdir_above_4gb", features::XENFEAT_PAE_PGDIR_ABOVE_4GB as u64),
    ("XENFEAT_mmu_pt_update_preserve_ad", features::XENFEAT_MMU_PT_UPDATE_PRESERVE_AD as u64),
    ("XENFEAT_highmem_assist", features::XENFEAT_HIGHMEM_ASSIST as u64),
    ("XENFEAT_gnttab_map_avail_bits", features::XENFEAT_GNTTAB_MAP_AVAIL_BITS as u64),
    ("XENFEAT_hvm_callback_vector", features::XENFEAT_HVM_CALLBACK_VECTOR as u64),
    ("XENFEAT_hvm_safe_pvclock", features::XENFEAT_HVM_SAFE_PVCLOCK as u64),
    ("XENFEAT_hvm_pirqs", features::XENFEAT_HVM_PIRQS as u64),
    ("XENFEAT_dom0", features::XENFEAT_DOM0 as u64),
    ("XENFEAT_memory_op_vnode_supported", features::XENFEAT_MEMORY_OP_VNODE_SUPPORTED as u64),
    ("XENFEAT_ARM_SMCCC_supported", features::XENFEAT_ARM_SMCCC_SUPPORTED as u64),
    ("XENFEAT_linux_rsdp_unrestricted", features::XENFEAT_LINUX_RSDP_UNRESTRICTED as u64),
    ("XENFEAT_not_direct_mapped", features::XENFEAT_NOT_DIRECT_MAPPED as u64),
    ("XENFEAT_direct_mapped", features::XENFEAT_DIRECT_MAPPED as u64),
    ("XENFEAT_NR_SUBMAPS", features::XENFEAT_NR_SUBMAPS as u64),
    ("HVMOP_set_param", hvm::HVMOP_SET_PARAM as u64),
    ("HVMOP_get_param", hvm::HVMOP_GET_PARAM as u64),
    ("HVMOP_flush_tlbs", hvm::HVMOP_FLUSH_TLBS as u64),
    ("HVMOP_pagetable_dying", hvm::HVMOP_PAGETABLE_DYING as u64),
    ("HVMOP_get_time", hvm::HVMOP_GET_TIME as u64),
    ("HVMOP_xentrace", hvm::HVMOP_XENTRACE as u64),
    ("HVMOP_get_mem_type", hvm::HVMOP_GET_MEM_TYPE as u64),
    ("HVMOP_guest_request_vm_event", hvm::HVMOP_GUEST_REQUEST_VM_EVENT as u64),
    ("HVMOP_altp2m", hvm::HVMOP_ALTP2M as u64),
    ("HVM_PARAM_CALLBACK_IRQ", hvm::HVM_PARAM_CALLBACK_IRQ as u64),
    ("HVM_PARAM_STORE_PFN", hvm::HVM_PARAM_STORE_PFN as u64),
    ("HVM_PARAM_STORE_EVTCHN", hvm::HVM_PARAM_STORE_EVTCHN as u64),
    ("HVM_PARAM_IOREQ_PFN", hvm::HVM_PARAM_IOREQ_PFN as u64),
    ("HVM_PARAM_BUFIOREQ_PFN", hvm::HVM_PARAM_BUFIOREQ_PFN as u64),
    ("HVM_PARAM_TIMER_MODE", hvm::HVM_PARAM_TIMER_MODE as u64),
    ("HVM_PARAM_HPET_ENABLED", hvm::HVM_PARAM_HPET_ENABLED as u64),
    ("HVM_PARAM_IDENT_PT", hvm::HVM_PARAM_IDENT_PT as u64),
    ("HVM_PARAM_ACPI_S_STATE", hvm::HVM_PARAM_ACPI_S_STATE as u64),
    ("HVM_PARAM_VM86_TSS", hvm::HVM_PARAM_VM86_TSS as u64),
    ("HVM_PARAM_VPT_ALIGN", hvm::HVM_PARAM_VPT_ALIGN as u64),
    ("HVM_PARAM_CONSOLE_PFN", hvm::HVM_PARAM_CONSOLE_PFN as u64),
    ("HVM_PARAM_CONSOLE_EVTCHN", hvm::HVM_PARAM_CONSOLE_EVTCHN as u64),
    ("HVM_PARAM_ACPI_IOPORTS_LOCATION", hvm::HVM_PARAM_ACPI_IOPORTS_LOCATION as u64),
    ("HVM_PARAM_PAGING_RING_PFN", hvm::HVM_PARAM_PAGING_RING_PFN as u64),
    ("HVM_PARAM_MONITOR_RING_PFN", hvm::HVM_PARAM_MONITOR_RING_PFN as u64),
    ("HVM_PARAM_SHARING_RING_PFN", hvm::HVM_PARAM_SHARING_RING_PFN as u64),
    ("HVM_PARAM_TRIPLE_FAULT_REASON", hvm::HVM_PARAM_TRIPLE_FAULT_REASON as u64),
    ("HVM_PARAM_IOREQ_SERVER_PFN", hvm::HVM_PARAM_IOREQ_SERVER_PFN as u64),
    ("HVM_PARAM_NR_IOREQ_SERVER_PAGES", hvm::HVM_PARAM_NR_IOREQ_SERVER_PAGES as u64),
    ("HVM_PARAM_VM_GENERATION_ID_ADDR", hvm::HVM_PARAM_VM_GENERATION_ID_ADDR as u64),
    ("HVM_PARAM_ALTP2M", hvm::HVM_PARAM_ALTP2M as u64),
    ("HVM_PARAM_X87_FIP_WIDTH", hvm::HVM_PARAM_X87_FIP_WIDTH as u64),
    ("HVM_PARAM_VM86_TSS_SIZED", hvm::HVM_PARAM_VM86_TSS_SIZED as u64),
    ("HVM_PARAM_MCA_CAP", hvm::HVM_PARAM_MCA_CAP as u64),
    ("HVM_NR_PARAMS", hvm::HVM_NR_PARAMS as u64),
    ("__builtin_ctzll(HVM_PARAM_CALLBACK_IRQ_TYPE_MASK)", hvm::HVM_PARAM_CALLBACK_TYPE_SHIFT as u64),
    ("HVM_PARAM_CALLBACK_TYPE_PPI", hvm::HVM_PARAM_CALLBACK_TYPE_PPI as u64),
    ("HVM_PARAM_CALLBACK_TYPE_PPI_FLAG_LOW_LEVEL", hvm::HVM_PARAM_CALLBACK_TYPE_PPI_FLAG_LOW_LEVEL as u64),
    ("XEN_HYPERCALL_TAG", hypercall::TAG as u64),
    ("__HYPERVISOR_set_trap_table", hypercall::SET_TRAP_TABLE as u64),
    ("__HYPERVISOR_mmu_update", hypercall::MMU_UPDATE as u64),
    ("__HYPERVISOR_set_gdt", hypercall::SET_GDT as u64),
    ("__HYPERVISOR_stack_switch", hypercall::STACK_SWITCH as u64),
    ("__HYPERVISOR_set_callbacks", hypercall::SET_CALLBACKS as u64),
    ("__HYPERVISOR_fpu_taskswitch", hypercall::FPU_TASKSWITCH as u64),
    ("__HYPERVISOR_sched_op_compat", hypercall::SCHED_OP_COMPAT as u64),
    ("__HYPERVISOR_platform_op", hypercall::PLATFORM_OP as u64),
    ("__HYPERVISOR_set_debugreg", hypercall::SET_DEBUGREG as u64),
    ("__HYPERVISOR_get_debugreg", hypercall::GET_DEBUGREG as u64),
    ("__HYPERVISOR_update_descriptor", hypercall::UPDATE_DESCRIPTOR as u64),
    ("__HYPERVISOR_memory_op", hypercall::MEMORY_OP as u64),
    ("__HYPERVISOR_multicall", hypercall::MULTICALL as u64),
    ("__HYPERVISOR_update_va_mapping", hypercall::UPDATE_VA_MAPPING as u64),
    ("__HYPERVISOR_set_timer_op", hypercall::SET_TIMER_OP as u64),
    ("__HYPERVISOR_event_channel_op_compat", hypercall::EVENT_CHANNEL_OP_COMPAT as u64),
    ("__HYPERVISOR_xen_version", hypercall::XEN_VERSION as u64),
    ("__HYPERVISOR_console_io", hypercall::CONSOLE_IO as u64),
    ("__HYPERVISOR_physdev_op_compat", hypercall::PHYSDEV_OP_COMPAT as u64),
    ("__HYPERVISOR_grant_table_op", hypercall::GRANT_TABLE_OP as u64),
    ("__HYPERVISOR_vm_assist", hypercall::VM_ASSIST as u64),
    ("__HYPERVISOR_update_va_mapping_otherdomain", hypercall::UPDATE_VA_MAPPING_OTHERDOMAIN as u64),
    ("__HYPERVISOR_iret", hypercall::IRET as u64),
    ("__HYPERVISOR_vcpu_op", hypercall::VCPU_OP as u64),
    ("__HYPERVISOR_set_segment_base", hypercall::SET_SEGMENT_BASE as u64),
    ("__HYPERVISOR_mmuext_op", hypercall::MMUEXT_OP as u64),
    ("__HYPERVISOR_xsm_op", hypercall::XSM_OP as u64),
    ("__HYPERVISOR_nmi_op", hypercall::NMI_OP as u64),
    ("__HYPERVISOR_sched_op", hypercall::SCHED_OP as u64),
    ("__HYPERVISOR_callback_op", hypercall::CALLBACK_OP as u64),
    ("__HYPERVISOR_xenoprof_op", hypercall::XENOPROF_OP as u64),
    ("__HYPERVISOR_event_channel_op", hypercall::EVENT_CHANNEL_OP as u64),
    ("__HYPERVISOR_physdev_op", hypercall::PHYSDEV_OP as u64),
    ("__HYPERVISOR_hvm_op", hypercall::HVM_OP as u64),
    ("__HYPERVISOR_sysctl", hypercall::SYSCTL as u64),
    ("__HYPERVISOR_domctl", hypercall::DOMCTL as u64),
    ("__HYPERVISOR_kexec_op", hypercall::KEXEC_OP as u64),
    ("__HYPERVISOR_tmem_op", hypercall::TMEM_OP as u64),
    ("__HYPERVISOR_argo_op", hypercall::ARGO_OP as u64),
    ("__HYPERVISOR_xenpmu_op", hypercall::XENPMU_OP as u64),
    ("__HYPERVISOR_dm_op", hypercall::DM_OP as u64),
    ("__HYPERVISOR_hypfs_op", hypercall::HYPFS_OP as u64),
    ("__HYPERVISOR_arch_0", hypercall::ARCH_0 as u64),
    ("XENMEM_increase_reservation", memory::XENMEM_INCREASE_RESERVATION as u64),
    ("XENMEM_decrease_reservation", memory::XENMEM_DECREASE_RESERVATION as u64),
    ("XENMEM_maximum_ram_page", memory::XENMEM_MAXIMUM_RAM_PAGE as u64),
    ("XENMEM_current_reservation", memory::XENMEM_CURRENT_RESERVATION as u64),
    ("XENMEM_maximum_reservation", memory::XENMEM_MAXIMUM_RESERVATION as u64),
    ("XENMEM_populate_physmap", memory::XENMEM_POPULATE_PHYSMAP as u64),
    ("XENMEM_add_to_physmap", memory::XENMEM_ADD_TO_PHYSMAP as u64),
    ("XENMEM_memory_map", memory::XENMEM_MEMORY_MAP as u64),
    ("XENMEM_exchange", memory::XENMEM_EXCHANGE as u64),
    ("XENMEM_maximum_gpfn", memory::XENMEM_MAXIMUM_GPFN as u64),
    ("XENMEM_remove_from_physmap", memory::XENMEM_REMOVE_FROM_PHYSMAP as u64),
    ("XENMEM_add_to_physmap_batch", memory::XENMEM_ADD_TO_PHYSMAP_BATCH as u64),
    ("XENMEM_claim_pages", memory::XENMEM_CLAIM_PAGES as u64),
    ("XENMEM_acquire_resource", memory::XENMEM_ACQUIRE_RESOURCE as u64),
    ("XENMAPSPACE_shared_info", memory::XENMAPSPACE_SHARED_INFO as u64),
    ("XENMAPSPACE_grant_table", memory::XENMAPSPACE_GRANT_TABLE as u64),
    ("XENMAPSPACE_gmfn", memory::XENMAPSPACE_GMFN as u64),
    ("XENMAPSPACE_gmfn_range", memory::XENMAPSPACE_GMFN_RANGE as u64),
    ("XENMAPSPACE_gmfn_foreign", memory::XENMAPSPACE_GMFN_FOREIGN as u64),
    ("XENMAPSPACE_dev_mmio", memory::XENMAPSPACE_DEV_MMIO as u64),
    ("SCHEDOP_yield", sched::SCHEDOP_YIELD as u64),
    ("SCHEDOP_block", sched::SCHEDOP_BLOCK as u64),
    ("SCHEDOP_shutdown", sched::SCHEDOP_SHUTDOWN as u64),
    ("SCHEDOP_poll", sched::SCHEDOP_POLL as u64),
    ("SCHEDOP_remote_shutdown", sched::SCHEDOP_REMOTE_SHUTDOWN as u64),
    ("SCHEDOP_shutdown_code", sched::SCHEDOP_SHUTDOWN_CODE as u64),
    ("SCHEDOP_watchdog", sched::SCHEDOP_WATCHDOG as u64),
    ("SCHEDOP_pin_override", sched::SCHEDOP_PIN_OVERRIDE as u64),
    ("SHUTDOWN_poweroff", sched::SHUTDOWN_POWEROFF as u64),
    ("SHUTDOWN_reboot", sched::SHUTDOWN_REBOOT as u64),
    ("SHUTDOWN_suspend", sched::SHUTDOWN_SUSPEND as u64),
    ("SHUTDOWN_crash", sched::SHUTDOWN_CRASH as u64),
    ("SHUTDOWN_watchdog", sched::SHUTDOWN_WATCHDOG as u64),
    ("SHUTDOWN_soft_reset", sched::SHUTDOWN_SOFT_RESET as u64),
    ("SHUTDOWN_MAX", sched::SHUTDOWN_MAX as u64),
    ("XEN_LEGACY_MAX_VCPUS", Layout::ARM.vcpus as u64),
    ("sizeof(struct vcpu_info)", Layout::ARM.vcpu_info as u64),
    ("offsetof(struct vcpu_info, time)", Layout::ARM.time as u64),
    ("offsetof(struct shared_info, evtchn_pending)", Layout::ARM.pending as u64),
    ("offsetof(struct shared_info, evtchn_mask)", Layout::ARM.mask as u64),
    ("XEN_LEGACY_MAX_VCPUS", shared_info::LEGACY_MAX_VCPUS as u64),
    ("offsetof(struct shared_info, vcpu_info)", shared_info::VCPU_INFO as u64),
    ("offsetof(struct shared_info, evtchn_pending)", shared_info::EVTCHN_PENDING as u64),
    ("offsetof(struct shared_info, evtchn_mask)", shared_info::EVTCHN_MASK as u64),
    ("sizeof(((struct shared_info *)0)->evtchn_mask) / 8", shared_info::EVTCHN_WORDS as u64),
    ("offsetof(struct shared_info, wc_version)", shared_info::WC_VERSION as u64),
    ("offsetof(struct shared_info, wc_sec)", shared_info::WC_SEC as u64),
    ("offsetof(struct shared_info, wc_nsec)", shared_info::WC_NSEC as u64),
    ("offsetof(struct shared_info, wc_sec_hi)", shared_info::WC_SEC_HI as u64),
    ("offsetof(struct shared_info, arch)", shared_info::ARCH as u64),
    ("offsetof(struct vcpu_info, evtchn_upcall_pending)", shared_info::EVTCHN_UPCALL_PENDING as u64),
    ("offsetof(struct vcpu_info, pad0)", shared_info::EVTCHN_UPCALL_MASK as u64),
    ("offsetof(struct vcpu_info, evtchn_pending_sel)", shared_info::EVTCHN_PENDING_SEL as u64),
    ("offsetof(struct vcpu_info, time)", shared_info::TIME as u64),
    ("sizeof(struct vcpu_info)", shared_info::VCPU_INFO_SIZE as u64),
    ("XEN_ELFNOTE_PHYS32_ENTRY", start_info::XEN_ELFNOTE_PHYS32_ENTRY as u64),
    ("XEN_HVM_START_MAGIC_VALUE", start_info::XEN_HVM_START_MAGIC_VALUE as u64),
    ("XEN_HVM_MEMMAP_TYPE_RAM", start_info::XEN_HVM_MEMMAP_TYPE_RAM as u64),
    ("XEN_HVM_MEMMAP_TYPE_RESERVED", start_info::XEN_HVM_MEMMAP_TYPE_RESERVED as u64),
    ("XEN_HVM_MEMMAP_TYPE_ACPI", start_info::XEN_HVM_MEMMAP_TYPE_ACPI as u64),
    ("XEN_HVM_MEMMAP_TYPE_NVS", start_info::XEN_HVM_MEMMAP_TYPE_NVS as u64),
    ("GNTTABOP_query_size", grant_table::GNTTABOP_QUERY_SIZE as u64),
    ("GNTTABOP_set_version", grant_table::GNTTABOP_SET_VERSION as u64),
    ("GNTTABOP_get_version", grant_table::GNTTABOP_GET_VERSION as u64),
    ("GNTST_okay", grant_table::GNTST_OKAY as u64),
    ("GNTST_bad_domain", grant_table::GNTST_BAD_DOMAIN as u64),
    ("GNTTABOP_map_grant_ref", grant_table::GNTTABOP_MAP_GRANT_REF as u64),
    ("GNTTABOP_unmap_grant_ref", grant_table::GNTTABOP_UNMAP_GRANT_REF as u64),
    ("GNTTABOP_setup_table", grant_table::GNTTABOP_SETUP_TABLE as u64),
    ("GNTTABOP_dump_table", grant_table::GNTTABOP_DUMP_TABLE as u64),
    ("GNTTABOP_transfer", grant_table::GNTTABOP_TRANSFER as u64),
    ("GNTTABOP_copy", grant_table::GNTTABOP_COPY as u64),
    ("GNTTABOP_unmap_and_replace", grant_table::GNTTABOP_UNMAP_AND_REPLACE as u64),
    ("GNTTABOP_get_status_frames", grant_table::GNTTABOP_GET_STATUS_FRAMES as u64),
    ("GNTTABOP_swap_grant_ref", grant_table::GNTTABOP_SWAP_GRANT_REF as u64),
    ("GNTTABOP_cache_flush", grant_table::GNTTABOP_CACHE_FLUSH as u64),
    ("GNTST_general_error", grant_table::GNTST_GENERAL_ERROR as u64),
    ("GNTST_bad_gntref", grant_table::GNTST_BAD_GNTREF as u64),
    ("GNTST_bad_handle", grant_table::GNTST_BAD_HANDLE as u64),
    ("GNTST_bad_virt_addr", grant_table::GNTST_BAD_VIRT_ADDR as u64),
    ("GNTST_permission_denied", grant_table::GNTST_PERMISSION_DENIED as u64),
    ("GNTST_bad_page", grant_table::GNTST_BAD_PAGE as u64),
    ("GNTST_bad_copy_arg", grant_table::GNTST_BAD_COPY_ARG as u64),
    ("GNTST_eagain", grant_table::GNTST_EAGAIN as u64),
    ("GNTST_no_space", grant_table::GNTST_NO_SPACE as u64),
    ("GTF_type_mask", grant_table::GTF_TYPE_MASK as u64),
    ("GTF_invalid", grant_table::GTF_INVALID as u64),
    ("GTF_permit_access", grant_table::GTF_PERMIT_ACCESS as u64),
    ("GTF_accept_transfer", grant_table::GTF_ACCEPT_TRANSFER as u64),
    ("GTF_readonly", grant_table::GTF_READONLY as u64),
    ("GTF_reading", grant_table::GTF_READING as u64),
    ("GTF_writing", grant_table::GTF_WRITING as u64),
    ("GTF_sub_page", grant_table::GTF_SUB_PAGE as u64),
    ("GNTMAP_device_map", grant_table::GNTMAP_DEVICE_MAP as u64),
    ("GNTMAP_host_map", grant_table::GNTMAP_HOST_MAP as u64),
    ("GNTMAP_readonly", grant_table::GNTMAP_READONLY as u64),
    ("GNTMAP_application_map", grant_table::GNTMAP_APPLICATION_MAP as u64),
    ("GNTMAP_contains_pte", grant_table::GNTMAP_CONTAINS_PTE as u64),
    ("GNTCOPY_source_gref", grant_table::GNTCOPY_SOURCE_GREF as u64),
    ("GNTCOPY_dest_gref", grant_table::GNTCOPY_DEST_GREF as u64),
    ("GNTTAB_CACHE_CLEAN", grant_table::GNTTAB_CACHE_CLEAN as u64),
    ("GNTTAB_CACHE_INVAL", grant_table::GNTTAB_CACHE_INVAL as u64),
    ("GNTTAB_CACHE_SOURCE_GREF", grant_table::GNTTAB_CACHE_SOURCE_GREF as u64),
    ("VMASST_CMD_enable", vm_assist::VMASST_CMD_ENABLE as u64),
    ("VMASST_CMD_disable", vm_assist::VMASST_CMD_DISABLE as u64),
    ("VMASST_TYPE_runstate_update_flag", vm_assist::VMASST_TYPE_RUNSTATE_UPDATE_FLAG as u64),
    ("VCPUOP_initialise", vcpu::VCPUOP_INITIALISE as u64),
    ("VCPUOP_up", vcpu::VCPUOP_UP as u64),
    ("VCPUOP_down", vcpu::VCPUOP_DOWN as u64),
    ("VCPUOP_is_up", vcpu::VCPUOP_IS_UP as u64),
    ("VCPUOP_get_runstate_info", vcpu::VCPUOP_GET_RUNSTATE_INFO as u64),
    ("VCPUOP_register_runstate_memory_area", vcpu::VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA as u64),
    ("VCPUOP_set_periodic_timer", vcpu::VCPUOP_SET_PERIODIC_TIMER as u64),
    ("VCPUOP_stop_periodic_timer", vcpu::VCPUOP_STOP_PERIODIC_TIMER as u64),
    ("VCPUOP_set_singleshot_timer", vcpu::VCPUOP_SET_SINGLESHOT_TIMER as u64),
    ("VCPUOP_stop_singleshot_timer", vcpu::VCPUOP_STOP_SINGLESHOT_TIMER as u64),
    ("VCPUOP_register_vcpu_info", vcpu::VCPUOP_REGISTER_VCPU_INFO as u64),
    ("VCPUOP_send_nmi", vcpu::VCPUOP_SEND_NMI as u64),
    ("VCPUOP_get_physid", vcpu::VCPUOP_GET_PHYSID as u64),
    ("VCPUOP_register_vcpu_time_memory_area", vcpu::VCPUOP_REGISTER_VCPU_TIME_MEMORY_AREA as u64),
    ("RUNSTATE_running", vcpu::RUNSTATE_RUNNING as u64),
    ("RUNSTATE_runnable", vcpu::RUNSTATE_RUNNABLE as u64),
    ("RUNSTATE_blocked", vcpu::RUNSTATE_BLOCKED as u64),
    ("RUNSTATE_offline", vcpu::RUNSTATE_OFFLINE as u64),
    ("XEN_RUNSTATE_UPDATE", vcpu::XEN_RUNSTATE_UPDATE as u64),
    ("VCPU_SSHOTTMR_future", vcpu::VCPU_SSHOTTMR_FUTURE as u64),
    ("XENVER_version", version::XENVER_VERSION as u64),
    ("XENVER_extraversion", version::XENVER_EXTRAVERSION as u64),
    ("XENVER_compile_info", version::XENVER_COMPILE_INFO as u64),
    ("XENVER_capabilities", version::XENVER_CAPABILITIES as u64),
    ("XENVER_changeset", version::XENVER_CHANGESET as u64),
    ("XENVER_platform_parameters", version::XENVER_PLATFORM_PARAMETERS as u64),
    ("XENVER_get_features", version::XENVER_GET_FEATURES as u64),
    ("XENVER_pagesize", version::XENVER_PAGESIZE as u64),
    ("XENVER_guest_handle", version::XENVER_GUEST_HANDLE as u64),
    ("XENVER_commandline", version::XENVER_COMMANDLINE as u64),
    ("XENVER_build_id", version::XENVER_BUILD_ID as u64),
    ("XEN_EXTRAVERSION_LEN", version::EXTRAVERSION_LEN as u64),
    ("XEN_CAPABILITIES_INFO_LEN", version::CAPABILITIES_LEN as u64),
    ("XEN_CHANGESET_INFO_LEN", version::CHANGESET_LEN as u64),
    ("sizeof(xen_commandline_t)", version::COMMANDLINE_LEN as u64),
    ("VIRQ_TIMER", virq::VIRQ_TIMER as u64),
    ("VIRQ_DEBUG", virq::VIRQ_DEBUG as u64),
    ("VIRQ_CONSOLE", virq::VIRQ_CONSOLE as u64),
    ("VIRQ_DOM_EXC", virq::VIRQ_DOM_EXC as u64),
    ("VIRQ_TBUF", virq::VIRQ_TBUF as u64),
    ("VIRQ_DEBUGGER", virq::VIRQ_DEBUGGER as u64),
    ("VIRQ_XENOPROF", virq::VIRQ_XENOPROF as u64),
    ("VIRQ_CON_RING", virq::VIRQ_CON_RING as u64),
    ("VIRQ_PCPU_STATE", virq::VIRQ_PCPU_STATE as u64),
    ("VIRQ_MEM_EVENT", virq::VIRQ_MEM_EVENT as u64),
    ("VIRQ_ARGO", virq::VIRQ_ARGO as u64),
    ("VIRQ_ENOMEM", virq::VIRQ_ENOMEM as u64),
    ("VIRQ_XENPMU", virq::VIRQ_XENPMU as u64),
    ("VIRQ_ARCH_0", virq::VIRQ_ARCH_0 as u64),
    ("NR_VIRQS", virq::NR_VIRQS as u64),
];

/// The same for what only an x86 guest sees; shared_info::Layout says what is elsewhere in its shared page.
#[allow(clippy::unnecessary_cast, reason = "as above")]
const X86_NUMBERS: &[(&str, u64)] = &[
    ("HVMOP_set_evtchn_upcall_vector", hvm::HVMOP_SET_EVTCHN_UPCALL_VECTOR as u64),
    ("HVM_PARAM_CALLBACK_TYPE_GSI", hvm::HVM_PARAM_CALLBACK_TYPE_GSI as u64),
    ("HVM_PARAM_CALLBACK_TYPE_VECTOR", hvm::HVM_PARAM_CALLBACK_TYPE_VECTOR as u64),
    ("XEN_LEGACY_MAX_VCPUS", Layout::X86.vcpus as u64),
    ("sizeof(struct vcpu_info)", Layout::X86.vcpu_info as u64),
    ("offsetof(struct vcpu_info, evtchn_upcall_pending)", shared_info::EVTCHN_UPCALL_PENDING as u64),
    ("offsetof(struct vcpu_info, evtchn_upcall_mask)", shared_info::EVTCHN_UPCALL_MASK as u64),
    ("offsetof(struct vcpu_info, evtchn_pending_sel)", shared_info::EVTCHN_PENDING_SEL as u64),
    ("sizeof(((struct shared_info *)0)->evtchn_mask) / 8", shared_info::EVTCHN_WORDS as u64),
    ("offsetof(struct vcpu_info, time)", Layout::X86.time as u64),
    ("offsetof(struct shared_info, evtchn_pending)", Layout::X86.pending as u64),
    ("offsetof(struct shared_info, evtchn_mask)", Layout::X86.mask as u64),
];

/// Makes the size of each structure and the offset of each named field a claim. A field whose C name differs says
/// `as "name in C"`.
macro_rules! layouts {
    ($($c:literal => $rust:path { $($field:ident $(as $c_field:literal)?),* };)*) => {
        vec![$(
            Claim { c: format!("sizeof({})", $c), rust: size_of::<$rust>() as u64 },
            $(Claim {
                c: format!("offsetof({}, {})", $c, [$($c_field,)? stringify!($field)][0]),
                rust: offset_of!($rust, $field) as u64,
            },)*
        )*]
    };
}
pub(crate) use layouts;

/// All numbers.
pub fn numbers() -> Vec<Claim> {
    NUMBERS.iter().map(|(c, rust)| Claim { c: (*c).to_owned(), rust: *rust }).collect()
}

/// What only an x86 guest sees.
pub fn x86() -> Vec<Claim> {
    let structures = layouts! {
        "struct xen_hvm_evtchn_upcall_vector" => hvm::EvtchnUpcallVector { vcpu, vector };
    };
    X86_NUMBERS.iter().map(|&(c, rust)| Claim { c: c.to_owned(), rust }).chain(structures).collect()
}

/// Sizes and offsets of what the control domain passes.
pub fn control_structures() -> Vec<Claim> {
    layouts! {
        // The rest of the union is no part of it.
        "struct { char start[offsetof(struct xen_domctl, u)]; struct xen_domctl_scheduler_op op; }" => domctl::SchedulerControl {};
        "struct xen_domctl_scheduler_op" => domctl::SchedulerOp { sched_id, cmd, u };
        "struct xen_domctl_sched_credit" => domctl::Credit { weight, cap };
        "struct xen_domctl_sched_rtds" => domctl::Rtds { period, budget, flags };
        "((struct xen_domctl_scheduler_op *)0)->u.v" => domctl::Vcpus {};
        "xen_domctl_schedparam_vcpu_t" => domctl::VcpuParameters { rtds as "u.rtds", vcpuid };
    }
}

/// All other sizes and offsets.
pub fn structures() -> Vec<Claim> {
    layouts! {
        "struct evtchn_alloc_unbound" => event_channel::AllocUnbound { dom, remote_dom, port };
        "struct evtchn_bind_interdomain" => event_channel::BindInterdomain { remote_dom, remote_port, local_port };
        "struct evtchn_bind_virq" => event_channel::BindVirq { virq, vcpu, port };
        "struct evtchn_bind_ipi" => event_channel::BindIpi { vcpu, port };
        "struct evtchn_close" => event_channel::Close { port };
        "struct evtchn_send" => event_channel::Send { port };
        "struct evtchn_status" => event_channel::Status {
            dom, port, status, vcpu, detail as "u.interdomain.dom", detail_port as "u.interdomain.port"
        };
        "struct evtchn_bind_vcpu" => event_channel::BindVcpu { port, vcpu };
        "struct evtchn_unmask" => event_channel::Unmask { port };
        "struct evtchn_reset" => event_channel::Reset { dom };
        "struct evtchn_init_control" => event_channel::InitControl { control_gfn, offset, vcpu, link_bits };
        "struct evtchn_expand_array" => event_channel::ExpandArray { array_gfn };
        "struct evtchn_fifo_control_block" => event_channel::FifoControlBlock { ready, head };
        "struct evtchn_set_priority" => event_channel::SetPriority { port, priority };
        "struct xen_hvm_param" => hvm::HvmParam { domid, pad, index, value };
        "struct xen_add_to_physmap" => memory::AddToPhysmap { domid, size, space, idx, gpfn };
        "struct xen_remove_from_physmap" => memory::RemoveFromPhysmap { domid, gpfn };
        "struct xen_memory_reservation" => memory::MemoryReservation {
            extent_start, nr_extents, extent_order, mem_flags, domid
        };
        "struct xen_add_to_physmap_batch" => memory::AddToPhysmapBatch { domid, space, size, idxs, gpfns, errs };
        "struct sched_shutdown" => sched::Shutdown { reason };
        "struct sched_poll" => sched::Poll { ports, nr_ports, timeout };
        "struct sched_remote_shutdown" => sched::RemoteShutdown { domain_id, reason };
        "struct multicall_entry" => hypercall::MulticallEntry { op, result, args };
        "struct sched_pin_override" => sched::PinOverride { pcpu };
        "struct sched_watchdog" => sched::Watchdog { id, timeout };
        "struct hvm_start_info" => start_info::HvmStartInfo {
            magic, version, flags, nr_modules, modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr, memmap_entries
        };
        "struct hvm_modlist_entry" => start_info::HvmModlistEntry { paddr, size, cmdline_paddr };
        "struct hvm_memmap_table_entry" => start_info::HvmMemmapTableEntry { addr, size, kind as "type" };
        "struct vcpu_time_info" => shared_info::VcpuTimeInfo {
            version, tsc_timestamp, system_time, tsc_to_system_mul, tsc_shift, flags
        };
        "struct vcpu_info" => shared_info::VcpuInfo { evtchn_upcall_pending, evtchn_pending_sel, time };
        "struct shared_info" => shared_info::SharedInfo {
            vcpu_info, evtchn_pending, evtchn_mask, wc_version, wc_sec, wc_nsec, wc_sec_hi
        };
        "struct gnttab_query_size" => grant_table::QuerySize { dom, nr_frames, max_nr_frames, status };
        "struct gnttab_set_version" => grant_table::Version { version };
        "struct gnttab_get_version" => grant_table::GetVersion { dom, version };
        "struct gnttab_map_grant_ref" => grant_table::MapGrantRef {
            host_addr, flags, dom, status, handle, dev_bus_addr
        };
        "struct gnttab_unmap_grant_ref" => grant_table::UnmapGrantRef { host_addr, dev_bus_addr, handle, status };
        "struct gnttab_unmap_and_replace" => grant_table::UnmapAndReplace { host_addr, new_addr, handle, status };
        "struct gnttab_setup_table" => grant_table::SetupTable { dom, nr_frames, status, frame_list };
        "struct gnttab_copy" => grant_table::Copy { source, dest, len, flags, status };
        "struct gnttab_copy_ptr" => grant_table::CopyPtr { u, domid, offset };
        "struct gnttab_get_status_frames" => grant_table::GetStatusFrames { nr_frames, dom, status, frame_list };
        "struct gnttab_swap_grant_ref" => grant_table::SwapGrantRef { ref_a, ref_b, status };
        "struct gnttab_cache_flush" => grant_table::CacheFlush { offset, length, op };
        "struct vcpu_runstate_info" => vcpu::RunstateInfo { state, state_entry_time, time };
        "struct vcpu_register_runstate_memory_area" => vcpu::RegisterRunstateMemoryArea { addr };
        "struct vcpu_set_periodic_timer" => vcpu::SetPeriodicTimer { period_ns };
        "struct vcpu_set_singleshot_timer" => vcpu::SetSingleshotTimer { timeout_abs_ns, flags };
        "struct vcpu_register_vcpu_info" => vcpu::RegisterVcpuInfo { mfn, offset, rsvd };
        "struct xen_compile_info" => version::CompileInfo { compiler, compile_by, compile_domain, compile_date };
        "struct xen_platform_parameters" => version::PlatformParameters { virt_start };
        "struct xen_feature_info" => version::FeatureInfo { submap_idx, submap };
    }
}
