//! Lists of grants: what a front end makes is what a back end reads, and a list of anything has an end.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use hyp_pvio::directory::{Buffer, Piece, Short, pages};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_list_is_read_as_it_was_made(size in 1_u32..13_000_000, offset in any::<u32>(), length in 0_u32..20_000) {
        let count = size.div_ceil(4096);
        let grants: Vec<u32> = (0..count).map(|at| at * 7 + 3).collect();
        let own: Vec<u32> = (0..count.div_ceil(1023)).map(|at| 100_000_000 + at).collect();
        let lists = pages(&grants, &own);
        prop_assert_eq!(lists.len(), own.len());
        let mut buffer = Buffer::new(size, own[0]);
        for (list, own) in lists.iter().zip(&own) {
            prop_assert_eq!(buffer.wanted(), Some(*own));
            prop_assert!(buffer.pieces(0, 1).is_none(), "not all pages are known");
            buffer.list(list).unwrap();
        }
        prop_assert_eq!((buffer.wanted(), buffer.grants(), buffer.size()), (None, &grants[..], size as usize));
        let (offset, length) = (offset % size, length);
        let pieces: Option<Vec<Piece>> = buffer.pieces(offset as usize, length as usize).map(Iterator::collect);
        prop_assert_eq!(pieces.is_some(), offset + length <= size);
        // Byte by byte, each is where it should be.
        let bytes = pieces.iter().flatten().flat_map(|piece| (piece.offset..piece.offset + piece.length).map(|at| (piece.grant, at)));
        let due = (offset..offset + length).map(|at| (grants[(at / 4096) as usize % grants.len()], at as usize % 4096));
        prop_assert!(pieces.is_none() || bytes.eq(due));
        prop_assert!(pieces.iter().flatten().all(|piece| piece.length > 0 && piece.offset + piece.length <= 4096));
    }

    #[test]
    fn a_list_of_anything_has_an_end(size in any::<u32>(), next in any::<bool>()) {
        let mut buffer = Buffer::new(size, 1);
        let mut list = [1; 4096];
        list[..4].fill(u8::from(next));
        let mut count = 0;
        while buffer.wanted().is_some() {
            count += 1;
            let pages = size.div_ceil(4096) as usize;
            match buffer.list(&list) {
                Ok(()) => prop_assert!(next || pages <= 1023),
                Err(Short { missing }) => {
                    prop_assert!(!next);
                    prop_assert_eq!(missing, pages - 1023);
                    break;
                }
            }
        }
        prop_assert!(count <= size.div_ceil(4096).div_ceil(1023));
    }
}
