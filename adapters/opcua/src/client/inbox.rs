//! Where notifications wait until the link looks: the newest value per point, nothing more, so it is bounded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use opcua::client::{MonitoredItem, OnSubscriptionNotification};
use opcua::types::{DataValue, StatusChangeNotification};

/// Newest value per point since the last look; bounded by the number of points.
#[derive(Default)]
pub(super) struct Inbox {
    pub values: Mutex<Vec<Option<DataValue>>>,
    /// The server ended the subscription.
    pub ended: AtomicBool,
}

/// Puts notifications into the inbox.
pub(super) struct Postman(pub Arc<Inbox>);

impl OnSubscriptionNotification for Postman {
    fn on_subscription_status_change(&mut self, _change: StatusChangeNotification) {
        self.0.ended.store(true, Ordering::Relaxed);
    }

    fn on_data_value(&mut self, value: DataValue, item: &MonitoredItem) {
        let mut values = self.0.values.lock().unwrap_or_else(PoisonError::into_inner);
        // Handles are point index + 1: 0 would be replaced by the client library.
        if let Some(slot) = (item.client_handle() as usize).checked_sub(1).and_then(|i| values.get_mut(i)) {
            *slot = Some(value);
        }
    }
}
