// SPDX-License-Identifier: GPL-2.0

//! Checks that let destructors run.

use kernel::prelude::*;

/// Makes the test fail where the condition does not hold, by returning an error from the function.
macro_rules! check {
    ($condition:expr $(,)?) => {
        if !$condition {
            return Err($crate::check::failed(
                file!(),
                line!(),
                stringify!($condition),
            ));
        }
    };
}

/// The same for two values that have to be equal; both are shown.
macro_rules! check_eq {
    ($left:expr, $right:expr $(,)?) => {
        match (&$left, &$right) {
            (left, right) => {
                if *left != *right {
                    pr_err!("{:?} is not {:?}\n", left, right);
                    return Err($crate::check::failed(
                        file!(),
                        line!(),
                        stringify!($left == $right),
                    ));
                }
            }
        }
    };
}

/// Says what does not hold.
pub(crate) fn failed(file: &str, line: u32, what: &str) -> Error {
    pr_err!("{}:{}: this does not hold: {}\n", file, line, what);
    EINVAL
}
