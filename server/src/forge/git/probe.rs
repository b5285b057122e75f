//! Proves at start that the installed git refuses planted hostile objects.
//!
//! What must not get in are trees with an entry that a checkout would take for a git directory. A git
//! that lets one in, or refuses the harmless control, is not used: versions are no proof, because
//! distributions patch old ones.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::forge::git::command::{Call, Git};
use crate::forge::git::error::GitError;
use crate::forge::git::repository::{ObjectFormat, create_bare};

/// A blob and a tree with one entry: the name, and the pack.
const PLANTED: [(&str, &str); 4] = [
    (
        ".git",
        "UEFDSwAAAAIAAAACNnjaKyjKT0rlAgAIlgIjoAJ42jM0MDAzMVHQS88sYbjF47fj5pJecSnjcG8L9qCHzRrpgQCgywqTS817FYw2+IqwUv9NVcveM3FTTgs=",
    ),
    (
        ".GiT",
        "UEFDSwAAAAIAAAACNnjaKyjKT0rlAgAIlgIjoAJ42jM0MDAzMVHQc88MYbjF47fj5pJecSnjcG8L9qCHzRrpgQCbCwpT5TrUZ0bO5AWQm8R9MoQuhTvyyrU=",
    ),
    (
        "git~1",
        "UEFDSwAAAAIAAAACNnjaKyjKT0rlAgAIlgIjoQJ42jM0MDAzMVFIzyypM2S4xeO34+aSXnEp43BvC/agh80a6YEAr60LFNeAquw8QoJJ7KTMPijFGaaMU5FF",
    ),
    (
        "..",
        "UEFDSwAAAAIAAAACNnjaKyjKT0rlAgAIlgIjrgF42jM0MDAzMVHQ02O4xeO34+aSXnEp43BvC/agh80a6YEAhLQJfSM7TRLlK7SVK3h/u1W1+MBFviYF",
    ),
];

/// The same with the name `a`.
const HARMLESS: &str = "UEFDSwAAAAIAAAACNnjaKyjKT0rlAgAIlgIjrQF42jM0MDAzMVFIZLjF47fj5pJecSnjcG8L9qCHzRrpgQCDpAmCiK8goofF5DZ3uvtj2Zvy4Iny3/w=";

/// Feeds the planted packs to `index-pack --strict`, as packs from sandboxes will be.
pub(crate) async fn refuses_hostile_objects(git: &Git) -> Result<(), GitError> {
    let failed = |error: std::io::Error| GitError::internal("probe", error);
    let folder = tempfile::tempdir_in(&git.folder).map_err(failed)?;
    create_bare(folder.path(), ObjectFormat::Sha1, None).map_err(failed)?;
    let index = async |pack: &str| {
        let pack = STANDARD
            .decode(pack)
            .map_err(|error| GitError::internal("probe", error))?;
        let call = Call::new(["index-pack", "--stdin", "--strict"]).git_dir(folder.path());
        git.attempt(call, &pack).await
    };
    let control = index(HARMLESS).await?;
    if !control.status.success() {
        return Err(GitError::Unusable {
            message: format!("it refused a harmless pack at start: {}", control.stderr),
        });
    }
    for (name, pack) in PLANTED {
        if index(pack).await?.status.success() {
            return Err(GitError::Unusable {
                message: format!(
                    "it let a planted tree entry `{name}` in (git index-pack --strict); install a git with its security fixes"
                ),
            });
        }
    }
    Ok(())
}
