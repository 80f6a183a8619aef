//! What is compared of `public/io`, as in [`table`](super::table).

use std::mem::{offset_of, size_of};

use xen_abi::io;

use crate::Claim;
use crate::table::layouts;

/// C expression, Rust constant.
#[allow(clippy::unnecessary_cast, reason = "so that a line need not know the width of its constant")]
const NUMBERS: &[(&str, u64)] = &[
    ("BLKIF_OP_READ", io::blkif::BLKIF_OP_READ as u64),
    ("BLKIF_OP_WRITE", io::blkif::BLKIF_OP_WRITE as u64),
    ("BLKIF_OP_WRITE_BARRIER", io::blkif::BLKIF_OP_WRITE_BARRIER as u64),
    ("BLKIF_OP_FLUSH_DISKCACHE", io::blkif::BLKIF_OP_FLUSH_DISKCACHE as u64),
    ("BLKIF_OP_DISCARD", io::blkif::BLKIF_OP_DISCARD as u64),
    ("BLKIF_OP_INDIRECT", io::blkif::BLKIF_OP_INDIRECT as u64),
    ("BLKIF_MAX_SEGMENTS_PER_REQUEST", io::blkif::BLKIF_MAX_SEGMENTS_PER_REQUEST as u64),
    ("BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST", io::blkif::BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST as u64),
    ("BLKIF_DISCARD_SECURE", io::blkif::BLKIF_DISCARD_SECURE as u64),
    ("(uint16_t)BLKIF_RSP_EOPNOTSUPP", io::blkif::BLKIF_RSP_EOPNOTSUPP as u16 as u64),
    ("(uint16_t)BLKIF_RSP_ERROR", io::blkif::BLKIF_RSP_ERROR as u16 as u64),
    ("(uint16_t)BLKIF_RSP_OKAY", io::blkif::BLKIF_RSP_OKAY as u16 as u64),
    ("VDISK_CDROM", io::blkif::VDISK_CDROM as u64),
    ("VDISK_REMOVABLE", io::blkif::VDISK_REMOVABLE as u64),
    ("VDISK_READONLY", io::blkif::VDISK_READONLY as u64),
    ("sizeof(union blkif_sring_entry)", io::blkif::BLKIF_SLOT_SIZE as u64),
    ("sizeof(((struct xencons_interface *)0)->in)", io::console::XENCONS_IN_SIZE as u64),
    ("sizeof(((struct xencons_interface *)0)->out)", io::console::XENCONS_OUT_SIZE as u64),
    ("offsetof(struct xencons_interface, in)", io::console::XENCONS_IN as u64),
    ("offsetof(struct xencons_interface, out)", io::console::XENCONS_OUT as u64),
    ("offsetof(struct xencons_interface, in_cons)", io::console::XENCONS_IN_CONS as u64),
    ("offsetof(struct xencons_interface, in_prod)", io::console::XENCONS_IN_PROD as u64),
    ("offsetof(struct xencons_interface, out_cons)", io::console::XENCONS_OUT_CONS as u64),
    ("offsetof(struct xencons_interface, out_prod)", io::console::XENCONS_OUT_PROD as u64),
    ("XENFB_TYPE_UPDATE", io::fbif::XENFB_TYPE_UPDATE as u64),
    ("XENFB_TYPE_RESIZE", io::fbif::XENFB_TYPE_RESIZE as u64),
    ("XENFB_TYPE_REFRESH_PERIOD", io::fbif::XENFB_TYPE_REFRESH_PERIOD as u64),
    ("XENFB_NO_REFRESH", io::fbif::XENFB_NO_REFRESH as u64),
    ("XENFB_OUT_EVENT_SIZE", io::fbif::XENFB_OUT_EVENT_SIZE as u64),
    ("XENFB_IN_EVENT_SIZE", io::fbif::XENFB_IN_EVENT_SIZE as u64),
    ("XENFB_IN_RING_OFFS", io::fbif::XENFB_IN_RING_OFFS as u64),
    ("XENFB_IN_RING_LEN", io::fbif::XENFB_IN_RING_LEN as u64),
    ("XENFB_OUT_RING_OFFS", io::fbif::XENFB_OUT_RING_OFFS as u64),
    ("XENFB_OUT_RING_LEN", io::fbif::XENFB_OUT_RING_LEN as u64),
    ("XENKBD_TYPE_MOTION", io::kbdif::XENKBD_TYPE_MOTION as u64),
    ("XENKBD_TYPE_KEY", io::kbdif::XENKBD_TYPE_KEY as u64),
    ("XENKBD_TYPE_POS", io::kbdif::XENKBD_TYPE_POS as u64),
    ("XENKBD_IN_EVENT_SIZE", io::kbdif::XENKBD_IN_EVENT_SIZE as u64),
    ("XENKBD_IN_RING_OFFS", io::kbdif::XENKBD_IN_RING_OFFS as u64),
    ("XENKBD_IN_RING_LEN", io::kbdif::XENKBD_IN_RING_LEN as u64),
    ("XENSND_PROTOCOL_VERSION", io::sndif::XENSND_PROTOCOL_VERSION as u64),
    ("XENSND_PCM_FORMAT_S8", io::sndif::XENSND_PCM_FORMAT_S8 as u64),
    ("XENSND_PCM_FORMAT_U8", io::sndif::XENSND_PCM_FORMAT_U8 as u64),
    ("XENSND_PCM_FORMAT_S16_LE", io::sndif::XENSND_PCM_FORMAT_S16_LE as u64),
    ("XENSND_PCM_FORMAT_S24_LE", io::sndif::XENSND_PCM_FORMAT_S24_LE as u64),
    ("XENSND_PCM_FORMAT_S32_LE", io::sndif::XENSND_PCM_FORMAT_S32_LE as u64),
    ("XENSND_PCM_FORMAT_F32_LE", io::sndif::XENSND_PCM_FORMAT_F32_LE as u64),
    ("XENSND_OP_OPEN", io::sndif::XENSND_OP_OPEN as u64),
    ("XENSND_OP_CLOSE", io::sndif::XENSND_OP_CLOSE as u64),
    ("XENSND_OP_READ", io::sndif::XENSND_OP_READ as u64),
    ("XENSND_OP_WRITE", io::sndif::XENSND_OP_WRITE as u64),
    ("XENSND_OP_SET_VOLUME", io::sndif::XENSND_OP_SET_VOLUME as u64),
    ("XENSND_OP_GET_VOLUME", io::sndif::XENSND_OP_GET_VOLUME as u64),
    ("XENSND_OP_MUTE", io::sndif::XENSND_OP_MUTE as u64),
    ("XENSND_OP_UNMUTE", io::sndif::XENSND_OP_UNMUTE as u64),
    ("XENSND_OP_TRIGGER", io::sndif::XENSND_OP_TRIGGER as u64),
    ("XENSND_OP_HW_PARAM_QUERY", io::sndif::XENSND_OP_HW_PARAM_QUERY as u64),
    ("XENSND_OP_TRIGGER_START", io::sndif::XENSND_OP_TRIGGER_START as u64),
    ("XENSND_OP_TRIGGER_PAUSE", io::sndif::XENSND_OP_TRIGGER_PAUSE as u64),
    ("XENSND_OP_TRIGGER_STOP", io::sndif::XENSND_OP_TRIGGER_STOP as u64),
    ("XENSND_OP_TRIGGER_RESUME", io::sndif::XENSND_OP_TRIGGER_RESUME as u64),
    ("XENSND_EVT_CUR_POS", io::sndif::XENSND_EVT_CUR_POS as u64),
    ("XENSND_IN_RING_OFFS", io::sndif::XENSND_IN_RING_OFFS as u64),
    ("XENSND_IN_RING_LEN", io::sndif::XENSND_IN_RING_LEN as u64),
    ("XEN_NETIF_NR_SLOTS_MIN", io::netif::XEN_NETIF_NR_SLOTS_MIN as u64),
    ("XEN_NETIF_MAX_TX_SIZE", io::netif::XEN_NETIF_MAX_TX_SIZE as u64),
    ("NETTXF_csum_blank", io::netif::NETTXF_CSUM_BLANK as u64),
    ("NETTXF_data_validated", io::netif::NETTXF_DATA_VALIDATED as u64),
    ("NETTXF_more_data", io::netif::NETTXF_MORE_DATA as u64),
    ("NETTXF_extra_info", io::netif::NETTXF_EXTRA_INFO as u64),
    ("NETRXF_data_validated", io::netif::NETRXF_DATA_VALIDATED as u64),
    ("NETRXF_csum_blank", io::netif::NETRXF_CSUM_BLANK as u64),
    ("NETRXF_more_data", io::netif::NETRXF_MORE_DATA as u64),
    ("NETRXF_extra_info", io::netif::NETRXF_EXTRA_INFO as u64),
    ("XEN_NETIF_EXTRA_TYPE_GSO", io::netif::XEN_NETIF_EXTRA_TYPE_GSO as u64),
    ("XEN_NETIF_EXTRA_FLAG_MORE", io::netif::XEN_NETIF_EXTRA_FLAG_MORE as u64),
    ("XEN_NETIF_GSO_TYPE_TCPV4", io::netif::XEN_NETIF_GSO_TYPE_TCPV4 as u64),
    ("XEN_NETIF_GSO_TYPE_TCPV6", io::netif::XEN_NETIF_GSO_TYPE_TCPV6 as u64),
    ("(uint16_t)NETIF_RSP_DROPPED", io::netif::NETIF_RSP_DROPPED as u16 as u64),
    ("(uint16_t)NETIF_RSP_ERROR", io::netif::NETIF_RSP_ERROR as u16 as u64),
    ("(uint16_t)NETIF_RSP_OKAY", io::netif::NETIF_RSP_OKAY as u16 as u64),
    ("(uint16_t)NETIF_RSP_NULL", io::netif::NETIF_RSP_NULL as u16 as u64),
    ("1 << XEN_PAGE_SHIFT", io::ring::XEN_PAGE_SIZE as u64),
    ("offsetof(struct blkif_sring, req_prod)", io::ring::REQ_PROD as u64),
    ("offsetof(struct blkif_sring, req_event)", io::ring::REQ_EVENT as u64),
    ("offsetof(struct blkif_sring, rsp_prod)", io::ring::RSP_PROD as u64),
    ("offsetof(struct blkif_sring, rsp_event)", io::ring::RSP_EVENT as u64),
    ("offsetof(struct blkif_sring, ring)", io::ring::SLOTS as u64),
    ("XenbusStateUnknown", io::xenbus::XENBUS_STATE_UNKNOWN as u64),
    ("XenbusStateInitialising", io::xenbus::XENBUS_STATE_INITIALISING as u64),
    ("XenbusStateInitWait", io::xenbus::XENBUS_STATE_INIT_WAIT as u64),
    ("XenbusStateInitialised", io::xenbus::XENBUS_STATE_INITIALISED as u64),
    ("XenbusStateConnected", io::xenbus::XENBUS_STATE_CONNECTED as u64),
    ("XenbusStateClosing", io::xenbus::XENBUS_STATE_CLOSING as u64),
    ("XenbusStateClosed", io::xenbus::XENBUS_STATE_CLOSED as u64),
    ("XenbusStateReconfiguring", io::xenbus::XENBUS_STATE_RECONFIGURING as u64),
    ("XenbusStateReconfigured", io::xenbus::XENBUS_STATE_RECONFIGURED as u64),
    ("XS_CONTROL", io::xs_wire::XS_CONTROL as u64),
    ("XS_DIRECTORY", io::xs_wire::XS_DIRECTORY as u64),
    ("XS_READ", io::xs_wire::XS_READ as u64),
    ("XS_GET_PERMS", io::xs_wire::XS_GET_PERMS as u64),
    ("XS_WATCH", io::xs_wire::XS_WATCH as u64),
    ("XS_UNWATCH", io::xs_wire::XS_UNWATCH as u64),
    ("XS_TRANSACTION_START", io::xs_wire::XS_TRANSACTION_START as u64),
    ("XS_TRANSACTION_END", io::xs_wire::XS_TRANSACTION_END as u64),
    ("XS_INTRODUCE", io::xs_wire::XS_INTRODUCE as u64),
    ("XS_RELEASE", io::xs_wire::XS_RELEASE as u64),
    ("XS_GET_DOMAIN_PATH", io::xs_wire::XS_GET_DOMAIN_PATH as u64),
    ("XS_WRITE", io::xs_wire::XS_WRITE as u64),
    ("XS_MKDIR", io::xs_wire::XS_MKDIR as u64),
    ("XS_RM", io::xs_wire::XS_RM as u64),
    ("XS_SET_PERMS", io::xs_wire::XS_SET_PERMS as u64),
    ("XS_WATCH_EVENT", io::xs_wire::XS_WATCH_EVENT as u64),
    ("XS_ERROR", io::xs_wire::XS_ERROR as u64),
    ("XS_IS_DOMAIN_INTRODUCED", io::xs_wire::XS_IS_DOMAIN_INTRODUCED as u64),
    ("XS_RESUME", io::xs_wire::XS_RESUME as u64),
    ("XS_SET_TARGET", io::xs_wire::XS_SET_TARGET as u64),
    ("XS_RESET_WATCHES", io::xs_wire::XS_RESET_WATCHES as u64),
    ("XS_DIRECTORY_PART", io::xs_wire::XS_DIRECTORY_PART as u64),
    ("XENSTORE_PAYLOAD_MAX", io::xs_wire::XENSTORE_PAYLOAD_MAX as u64),
    ("XENSTORE_ABS_PATH_MAX", io::xs_wire::XENSTORE_ABS_PATH_MAX as u64),
    ("XENSTORE_REL_PATH_MAX", io::xs_wire::XENSTORE_REL_PATH_MAX as u64),
    ("XENSTORE_RING_SIZE", io::xs_wire::XENSTORE_RING_SIZE as u64),
    ("offsetof(struct xenstore_domain_interface, req)", io::xs_wire::XENSTORE_REQ as u64),
    ("offsetof(struct xenstore_domain_interface, rsp)", io::xs_wire::XENSTORE_RSP as u64),
    ("offsetof(struct xenstore_domain_interface, req_cons)", io::xs_wire::XENSTORE_REQ_CONS as u64),
    ("offsetof(struct xenstore_domain_interface, req_prod)", io::xs_wire::XENSTORE_REQ_PROD as u64),
    ("offsetof(struct xenstore_domain_interface, rsp_cons)", io::xs_wire::XENSTORE_RSP_CONS as u64),
    ("offsetof(struct xenstore_domain_interface, rsp_prod)", io::xs_wire::XENSTORE_RSP_PROD as u64),
    ("offsetof(struct xenstore_domain_interface, server_features)", io::xs_wire::XENSTORE_SERVER_FEATURES as u64),
    ("offsetof(struct xenstore_domain_interface, connection)", io::xs_wire::XENSTORE_CONNECTION as u64),
    ("offsetof(struct xenstore_domain_interface, error)", io::xs_wire::XENSTORE_ERROR as u64),
    ("XENSTORE_SERVER_FEATURE_RECONNECTION", io::xs_wire::XENSTORE_SERVER_FEATURE_RECONNECTION as u64),
    ("XENSTORE_SERVER_FEATURE_ERROR", io::xs_wire::XENSTORE_SERVER_FEATURE_ERROR as u64),
    ("XENSTORE_CONNECTED", io::xs_wire::XENSTORE_CONNECTED as u64),
    ("XENSTORE_RECONNECT", io::xs_wire::XENSTORE_RECONNECT as u64),
    ("XENSTORE_ERROR_NONE", io::xs_wire::XENSTORE_ERROR_NONE as u64),
    ("XENSTORE_ERROR_COMM", io::xs_wire::XENSTORE_ERROR_COMM as u64),
    ("XENSTORE_ERROR_RINGIDX", io::xs_wire::XENSTORE_ERROR_RINGIDX as u64),
    ("XENSTORE_ERROR_PROTO", io::xs_wire::XENSTORE_ERROR_PROTO as u64),
];

/// All numbers of devices.
pub fn device_numbers() -> Vec<Claim> {
    NUMBERS.iter().map(|(c, rust)| Claim { c: (*c).to_owned(), rust: *rust }).collect()
}

/// Sizes and offsets of what devices pass.
pub fn device_structures() -> Vec<Claim> {
    layouts! {
        "struct blkif_request_segment" => io::blkif::RequestSegment { gref, first_sect, last_sect };
        "struct blkif_request" => io::blkif::Request { operation, nr_segments, handle, id, sector_number, seg };
        "struct blkif_request_discard" => io::blkif::RequestDiscard {
            operation, flag, handle, id, sector_number, nr_sectors
        };
        "struct blkif_request_indirect" => io::blkif::RequestIndirect {
            operation, indirect_op, nr_segments, id, sector_number, handle, indirect_grefs
        };
        "struct blkif_response" => io::blkif::Response { id, operation, status };
        "struct netif_tx_request" => io::netif::TxRequest { gref, offset, flags, id, size };
        "struct netif_extra_info" => io::netif::ExtraInfo {
            kind as "type", flags, gso_size as "u.gso.size", gso_type as "u.gso.type", gso_features as "u.gso.features"
        };
        "struct netif_tx_response" => io::netif::TxResponse { id, status };
        "struct netif_rx_request" => io::netif::RxRequest { id, gref };
        "struct netif_rx_response" => io::netif::RxResponse { id, offset, flags, status };
        "struct xensnd_req" => io::sndif::Request { id, operation, op };
        "struct xensnd_open_req" => io::sndif::OpenReq {
            pcm_rate, pcm_format, pcm_channels, buffer_sz, gref_directory, period_sz
        };
        "struct xensnd_page_directory" => io::sndif::PageDirectory { gref_dir_next_page, gref };
        "struct xensnd_rw_req" => io::sndif::RwReq { offset, length };
        "struct xensnd_trigger_req" => io::sndif::TriggerReq { kind as "type" };
        "struct xensnd_query_hw_param" => io::sndif::QueryHwParam { formats, rates, channels, buffer, period };
        "struct xensnd_resp" => io::sndif::Response { id, operation, status, resp };
        "struct xensnd_evt" => io::sndif::Event { id, kind as "type", op };
        "struct xensnd_cur_pos_evt" => io::sndif::CurPosEvt { position };
        "struct xensnd_event_page" => io::sndif::EventPage { in_cons, in_prod };
        "struct xenfb_update" => io::fbif::Update { kind as "type", x, y, width, height };
        "struct xenfb_resize" => io::fbif::Resize { kind as "type", width, height, stride, depth, offset };
        "struct xenfb_refresh_period" => io::fbif::RefreshPeriod { kind as "type", period };
        "struct xenfb_page" => io::fbif::Page {
            in_cons, in_prod, out_cons, out_prod, width, height, line_length, mem_length, depth, pd
        };
        "struct xenkbd_motion" => io::kbdif::Motion { kind as "type", rel_x, rel_y, rel_z };
        "struct xenkbd_key" => io::kbdif::Key { kind as "type", pressed, keycode };
        "struct xenkbd_position" => io::kbdif::Position { kind as "type", abs_x, abs_y, rel_z };
        "struct xenkbd_page" => io::kbdif::Page { in_cons, in_prod, out_cons, out_prod };
        "struct xsd_sockmsg" => io::xs_wire::Sockmsg { kind as "type", req_id, tx_id, len };
    }
}
