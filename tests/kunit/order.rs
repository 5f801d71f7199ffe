// SPDX-License-Identifier: GPL-2.0

//! What comes and goes while somebody goes through it, in several steps.

use crate::numbered::Numbered;
use kernel::prelude::*;

/// Goes through all, up to three at a step, with `change` in between, and returns what it met.
fn walk(
    numbered: &mut Numbered<u32>,
    mut change: impl FnMut(&mut Numbered<u32>) -> Result,
) -> Result<KVec<u32>> {
    let mut met = KVec::new();
    let mut last = 0;

    loop {
        let before = met.len();

        for (number, value) in numbered.after(last).take(3) {
            check!(number > last);
            last = number;
            met.push(*value, GFP_KERNEL)?;
        }
        if met.len() == before {
            return Ok(met);
        }
        change(numbered)?;
    }
}

#[kunit_tests(vdpa_numbered)]
mod tests {
    use super::*;

    #[test]
    fn all_are_met_in_order() -> Result {
        let mut numbered = Numbered::new();

        check!(walk(&mut numbered, |_| Ok(()))?.is_empty());
        for value in 0..10 {
            check!(numbered.push(value)? > 0);
        }
        check!(walk(&mut numbered, |_| Ok(()))?.iter().copied().eq(0..10));
        for value in numbered.iter_mut() {
            *value += 1;
        }
        check!(numbered.iter().copied().eq(1..11));
        Ok(())
    }

    #[test]
    fn what_stays_is_met_once() -> Result {
        // Each time the one that was met first goes, and comes again.
        let mut numbered = Numbered::new();
        let mut goes = 0;

        for value in 0..20 {
            numbered.push(value)?;
        }
        let met = walk(&mut numbered, |numbered| {
            if goes < 5 {
                check_eq!(numbered.take(|value| *value == goes), Some(goes));
                numbered.push(goes)?;
                goes += 1;
            }
            Ok(())
        })?;

        for stays in 5..20 {
            check_eq!(met.iter().filter(|value| **value == stays).count(), 1);
        }
        Ok(())
    }

    #[test]
    fn what_is_met_last_can_go() -> Result {
        let mut numbered = Numbered::new();

        for value in 0..9 {
            numbered.push(value)?;
        }
        let met = walk(&mut numbered, |numbered| {
            for value in [2, 5, 8] {
                numbered.take(|other| *other == value);
            }
            Ok(())
        })?;

        // 5 and 8 have gone before it was their turn.
        check!(met.iter().copied().eq([0, 1, 2, 3, 4, 6, 7]));
        check_eq!(numbered.take(|value| *value == 2), None);
        Ok(())
    }
}
