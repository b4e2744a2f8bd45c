//! stub
use crate::model::capacity::Projection;
use crate::model::units::Timestamp;
use crate::store::Store;
use crate::work::board::TargetState;
pub(crate) fn gather(
    _: &Store,
    _: &TargetState,
    _: &str,
    _: &[Projection],
    _: Timestamp,
) -> crate::work::Result<crate::diagnose::Evidence> {
    Ok(crate::diagnose::Evidence)
}
