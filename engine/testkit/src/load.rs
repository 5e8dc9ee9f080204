//! The commands that measure: a workload, the mail server that takes what comes of it, the score.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use ringtap_testkit::attack::{self, Attack};
use ringtap_testkit::workload::{self, CallTruth, Event, Options, Workload};
use ringtap_testkit::{PcapWriter, score, sink};

/// What `workload` takes.
#[derive(Args)]
pub(crate) struct WorkloadArguments {
    /// How many calls
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    calls: u64,
    /// How many calls begin in a second, on average
    #[arg(long, value_name = "R", default_value_t = 100.0)]
    cps: f64,
    /// Probability that a captured frame is lost
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    loss: f64,
    /// Probability that a frame is captured twice, 0.2 ms apart
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    duplication: f64,
    /// Frames are captured up to so many milliseconds late, which changes their order
    #[arg(long, value_name = "MS", default_value_t = 0)]
    reorder: u32,
    /// The same seed gives the same calls, and the same faults of the mirror
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// People in the office
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    users: usize,
    /// REGISTER and OPTIONS exchanges for each call, on average
    #[arg(long, value_name = "N", default_value_t = 0.5)]
    noise: f64,
    /// Only kinds of calls whose name begins so, commas between; see --list
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    mix: Vec<String>,
    /// Hostile traffic beside the calls
    #[arg(long, value_name = "KIND")]
    attack: Option<attack::Kind>,
    /// How many frames of it in a second
    #[arg(long, value_name = "R", default_value_t = 10_000.0)]
    attack_rate: f64,
    /// How many frames of it in all
    #[arg(long, value_name = "N", default_value_t = u64::MAX)]
    attack_frames: u64,
    /// Print the kinds of calls, and do nothing else
    #[arg(long)]
    list: bool,
    /// Capture file to write
    #[arg(long, short, value_name = "FILE", required_unless_present = "list")]
    output: Option<PathBuf>,
    /// File for the calls and the mails that must come
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Folder for ringtap.toml and subscribers.csv of the office; made if absent
    #[arg(long, value_name = "DIR")]
    office: Option<PathBuf>,
    /// SMTP server for the configuration
    #[arg(long, value_name = "URL", default_value = "smtp://127.0.0.1:2525")]
    smtp_url: String,
}

/// Writes a capture of many calls, its truth and its office.
pub(crate) fn workload(arguments: &WorkloadArguments) -> Result<()> {
    if arguments.list {
        for kind in Workload::kinds() {
            println!("{kind}");
        }
        return Ok(());
    }
    let workload = Workload::new(options(arguments)?);
    if let Some(folder) = &arguments.office {
        write_office(&workload, folder, &arguments.smtp_url)?;
    }
    let mut truth = arguments.truth.as_deref().map(create).transpose()?;
    if let Some(truth) = &mut truth {
        truth.write_all(CallTruth::head().as_bytes())?;
    }
    let path = arguments.output.as_deref().context("no --output")?;
    let mut pcap = PcapWriter::new(create(path)?)?;
    let (mut calls, mut mails, mut open_most) = (0_u64, 0, 0);
    let mut stream = workload.stream();
    let mut attack = arguments.attack.map(|kind| {
        let (rate, most) = (arguments.attack_rate, arguments.attack_frames);
        Attack::new(kind, workload.office(), rate, most, arguments.seed)
    });
    while let Some(event) = stream.next() {
        open_most = open_most.max(stream.open_calls());
        match event {
            Event::Captured(wire) => {
                if let Some(attack) = &mut attack {
                    attack.until(wire.time, |at, octets| pcap.write_octets(at, octets))?;
                }
                pcap.write(&wire)?;
            }
            Event::Ended(call) => {
                calls += 1;
                mails += call.mails.len();
                if let Some(truth) = &mut truth {
                    truth.write_all(call.lines().as_bytes())?;
                }
            }
        }
    }
    let frames = pcap.finish()?;
    if let Some(mut truth) = truth {
        truth.flush()?;
    }
    let hostile = attack.as_ref().map_or(0, Attack::sent);
    println!(
        "{calls} calls in {} frames, {open_most} open at once; {mails} mails must come",
        frames - hostile
    );
    if hostile > 0 {
        println!("{hostile} hostile frames");
    }
    Ok(())
}

fn options(arguments: &WorkloadArguments) -> Result<Options> {
    let within = |name: &str, value: f64, most: f64| {
        if (0.0..=most).contains(&value) {
            Ok(value)
        } else {
            bail!("--{name} {value}: is not between 0 and {most}")
        }
    };
    let users = workload::USERS_MIN..=workload::USERS_MAX;
    if !users.contains(&arguments.users) {
        bail!(
            "--users {}: an office has {} to {} people",
            arguments.users,
            workload::USERS_MIN,
            workload::USERS_MAX
        );
    }
    if arguments.attack_rate <= 0.0 {
        bail!(
            "--attack-rate {}: some frames must be sent",
            arguments.attack_rate
        );
    }
    if arguments.cps <= 0.0 {
        bail!("--cps {}: some calls must begin", arguments.cps);
    }
    for start in &arguments.mix {
        if !Workload::kinds()
            .iter()
            .any(|kind| kind.starts_with(start.as_str()))
        {
            bail!("--mix {start}: no kind of call begins so; --list shows them");
        }
    }
    Ok(Options {
        calls: arguments.calls,
        cps: within("cps", arguments.cps, 100_000.0)?,
        users: arguments.users,
        seed: arguments.seed,
        loss: within("loss", arguments.loss, 1.0)?,
        duplication: within("duplication", arguments.duplication, 1.0)?,
        reorder_ms: arguments.reorder,
        noise: within("noise", arguments.noise, 1_000.0)?,
        mix: arguments.mix.clone(),
    })
}

fn write_office(workload: &Workload, folder: &Path, smtp_url: &str) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make folder {}", folder.display()))?;
    let (journal, notifier) = (folder.join("journal.db"), folder.join("notifier.db"));
    let office = workload.office();
    let config = office.config_toml(&journal.to_string_lossy(), &notifier.to_string_lossy(), smtp_url);
    create(&folder.join("ringtap.toml"))?.write_all(config.as_bytes())?;
    create(&folder.join("subscribers.csv"))?.write_all(office.subscribers_csv().as_bytes())?;
    Ok(())
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}

/// What `sink` takes.
#[derive(Args)]
pub(crate) struct SinkArguments {
    /// File for a line about each mail
    #[arg(long, value_name = "FILE")]
    mails: PathBuf,
    /// File to which the port is written
    #[arg(long, value_name = "FILE")]
    port_file: PathBuf,
}

/// Takes mails until the process that started this one is gone, or this one is told to end.
pub(crate) fn sink(arguments: &SinkArguments) -> Result<()> {
    let mails = File::create(&arguments.mails)
        .with_context(|| format!("cannot write {}", arguments.mails.display()))?;
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on the loopback interface")?;
    // Moved into place, so that whoever waits for the file never reads half a number.
    let part = arguments.port_file.with_extension("part");
    fs::write(&part, format!("{}\n", listener.local_addr()?.port()))?;
    fs::rename(&part, &arguments.port_file)?;
    thread::spawn(move || sink::serve(&listener, mails));
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// What `score` takes.
#[derive(Args)]
pub(crate) struct ScoreArguments {
    /// The truth that `workload` wrote
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// The mails that `sink` wrote
    #[arg(long, value_name = "FILE")]
    mails: PathBuf,
    /// How many faults to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    examples: usize,
    /// What stands before the figures in the Markdown row
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
    /// Fail if fewer percent of the mails that came are right
    #[arg(long, value_name = "PERCENT")]
    min_precision: Option<f64>,
    /// Fail if fewer percent of the mails that must come came
    #[arg(long, value_name = "PERCENT")]
    min_recall: Option<f64>,
}

/// Compares mails with the truth.
pub(crate) fn score(arguments: &ScoreArguments) -> Result<ExitCode> {
    let read =
        |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let truth = &arguments.truth;
    let calls = workload::read_truth(&read(truth)?).with_context(|| truth.display().to_string())?;
    let mut mails = Vec::new();
    for line in read(&arguments.mails)?.lines() {
        let told = sink::Told::read(line);
        mails.push(told.with_context(|| format!("{}: no mail: {line:?}", arguments.mails.display()))?);
    }
    let score = score::score(&calls, &mails);
    println!("{score}");
    let faults = &score.faults;
    // Spread over all kinds of faults rather than the first calls.
    let stride = (faults.len() / arguments.examples.max(1)).max(1);
    for fault in faults.iter().step_by(stride).take(arguments.examples) {
        println!("  {fault}");
    }
    if faults.len() > arguments.examples {
        println!("  … {} faults in all", faults.len());
    }
    println!("{}", score.row(&arguments.label));
    let below = |share: f64, least: Option<f64>| least.is_some_and(|least| share * 100.0 < least);
    let failed = below(score.all.precision(), arguments.min_precision)
        || below(score.all.recall(), arguments.min_recall);
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
