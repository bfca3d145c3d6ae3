//! How much value may be moved, whoever asks for it.

use crate::intake::Caps;
use crate::saga::ids::Amount;

/// The limits of every face.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// The most that one melt may pay, in the wallet's unit
    //
    // None: what a wallet holds limits it, and only its owner knows what is much.
    #[arg(long, env = "MELTD_MELT_MAX", value_name = "AMOUNT")]
    pub melt_max: Option<Amount>,

    /// The most that the melts of one wallet may pay together while their end is not known
    //
    // None, for the same reason.
    #[arg(long, env = "MELTD_UNRESOLVED_MAX", value_name = "AMOUNT")]
    pub unresolved_max: Option<Amount>,
}

impl LimitArgs {
    /// As the loop has them.
    pub fn caps(&self) -> Caps {
        Caps {
            melt_max: self.melt_max,
            fee_max: None,
            unresolved_max: self.unresolved_max,
        }
    }
}
