// SPDX-License-Identifier: GPL-2.0

//! Drives a vDPA device through `/dev/vhost-vdpa-N` as a virtual machine monitor does, and checks
//! what comes of it.
//!
//! Every command prints one line for each check, `ok NAME` or `not ok NAME: why`, on standard
//! output. Its exit status is 0 if all checks passed, 1 if one failed or none was made, and 2 if
//! it was called in a way that it does not understand.

mod commands;

use std::process::ExitCode;

use checks::arguments::{Arguments, Misuse};
use checks::report::Report;
use vhost_client::sys;

const USAGE: &str = "\
usage: vhost-client COMMAND --dev /dev/vhost-vdpa-N [OPTION]...

  net       send frames, which the device returns, and compare them
      --count N        frames to send [1000]
      --size BYTES     length of each, 32 to 4084 [64]
      --inflight K     how many may be on their way at a time, up to 120 [32]
      --bench          compare numbers only, to measure the device and not the test
  blk       verify a disk; its contents are lost
      --count N        requests to write, and to read, up to 8192 [500]
      --depth K        how many at a time, up to 32 [16]
      --basic          reads, writes and flushes only, of a disk that need not be a simulator
  config    print the configuration space, as bytes
      --offset N       from this offset on [0]
      --len N          so many bytes [all]
  raw       print what any device says of itself: features, status, virtqueues, groups
      --queue N        make one request on this virtqueue, and print what was written
      --out BYTES      what the device reads, two hexadecimal digits for each byte
      --in N           how many bytes it may write
      --config OFFSET:BYTES  write to the configuration before the device is started
      --changes        the device must say then that its configuration has changed
      --suspend        then suspend the device, resume it, and make the request again
  ioctls    every ioctl, with good and bad arguments, in all states of the device
  maps      messages about mappings, good and bad; what a network device then can reach
      --memfd          memory that others could map, too, instead of the process's own
      --count N        mappings in one batch [10000]
      --mib N          the size of a large mapping [256]
      --pieces         the device is told of each piece of memory, not of all mappings at once
  states    suspend, resume, reset, restore in another session; two address spaces
      --rounds N       sessions that hand over to each other [20]
      --hardware       nothing that a card cannot do: one address space, no late start
      --only CHECK     only this check, such as queue-reset, which no other choice makes
      --unwilling STEP only that: suspend or resume, which the device does not do, leaves it as it is
  stress    threads that disturb a device at work, random calls, programs that are killed
      --rounds N       programs to kill, and sessions of random calls [20]
      --count N        how much work is done while it is disturbed [200]
      --only WHAT      only this disturbance: kicks, calls-exchanged, kicks-exchanged, mappings,
                       suspended-and-resumed or questions
  hostile   make every mistake that a driver can, one at a time, and see what the simulator makes of
            it
      --name NAME      of a network device: its name on the bus, for `vdpa`
      --rounds N       how often the device is stopped while it calls [1000]
      --only WHAT      only this: work, start, states or calls
  gone      hold the device until it is taken away, for which `READY` is printed
      --use WHAT       opened, owned or running [running]
      --timeout S      seconds to wait [30]
      --doorbells      running: ring the device's own doorbells, which it must have
  pieces    have a block device go through thousands of mappings for a request
  absent    have a simulator need memory that does not come: nobody but the request waits;
            with --until-gone until the device is taken away
  parents   what must be right with any parent, whatever its habits
      --what WHAT      doorbells, doorbells-by-features, calls, files or limit
      --no-file-system files: that of what is a file by its looks only, too
  complaints  do what is refused, and said in the log
      --what WHAT      features, mappings, interrupts or opening
      --count N        how often [30]
  bounce    a device of VDUSE is not given its own memory, of which a page is held for which `READY` is
            printed, and which is mapped when the device has a character device
      --name NAME      of the device, with VDUSE and on the bus, which a kernel driver has used
      --server PID     the process that serves it
      --timeout S      seconds to wait [30]
  slow      hold calls whose arguments are in memory that does not come, and the last of them until
            the device is taken away, for which `READY` is printed
      --timeout S      seconds to wait [30]
  failures  repeat each call with the first, second, third ... allocation in it failing
      --only STEP      only this call
  bind      bind the driver with the first, second, third ... allocation in that failing, while
            somebody opens the device
  features  print what the device can do, `ORDER|WHAT|VALUE`, for a table
      --name NAME      of the device on the bus, for `vdpa`
  script    print the results of a long sequence of calls, to compare drivers
  bench     measure mapping, opening and one request at a time
      --only WHAT      mappings, updates, sessions or round-trips
      --mib N          the size of what is mapped [64]
      --count N        requests [2000]

How the device is driven (net, blk, raw, states, failures):
      --packed, --event-idx, --indirect, --ring-reset   with these features, which must be offered
      --anon, --memfd, --hugetlb          with memory of this kind [--anon]
      --v1             without backend features, so that messages have their first format
      --seed S         what contents and order are derived from [1]

All numbers may be decimal or, after 0x, hexadecimal.";

fn run(command: &str, arguments: &mut Arguments, report: &mut Report) -> anyhow::Result<()> {
    match command {
        "net" => commands::net::run(arguments, report),
        "ioctls" => commands::ioctls::run(arguments, report),
        commands::ioctls::OTHER_PROCESS => {
            report.check(command, commands::ioctls::run_other_process());
            Ok(())
        }
        "maps" => commands::maps::run(arguments, report),
        "states" => commands::states::run(arguments, report),
        "stress" => commands::stress::run(arguments, report),
        commands::stress::CHILD => commands::stress::run_child(arguments),
        "hostile" => commands::hostile::run(arguments, report),
        "parents" => commands::parents::run(arguments, report),
        "complaints" => commands::complaints::run(arguments, report),
        "gone" => commands::gone::run(arguments, report),
        "slow" => commands::slow::run(arguments, report),
        "pieces" => commands::pieces::run(arguments, report),
        "absent" => commands::absent::run(arguments, report),
        "bounce" => commands::bounce::run(arguments, report),
        "config" => commands::config::run(arguments, report),
        "raw" => commands::raw::run(arguments, report),
        "failures" => commands::failures::run(arguments, report),
        "features" => commands::features::run(arguments, report),
        "bind" => commands::bind::run(arguments, report),
        "script" => commands::script::run(arguments, report),
        "bench" => commands::bench::run(arguments, report),
        "blk" => commands::blk::run(arguments, report),
        other => Err(Misuse(format!("there is no command {other:?}")).into()),
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_env();
    let Some(command) = arguments.command() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut report = Report::new(std::io::stdout());

    // Pinned memory counts as locked. What is tested with a limit sets one.
    let result = sys::limit_locked_memory(None)
        .map_err(Into::into)
        .and_then(|()| run(&command, &mut arguments, &mut report));
    if let Err(error) = result {
        if error.is::<Misuse>() {
            eprintln!("vhost-client {command}: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
        report.check(&command, Err(error));
    }
    report.status()
}
