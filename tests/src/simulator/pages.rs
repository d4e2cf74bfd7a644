//! All pages of the source, ready to be sent.

use std::cmp::Reverse;
use std::collections::HashMap;

use bytes::Bytes;

use super::Order;
use super::envelope::{Envelope, Place};
use crate::alerts::{Alert, shuffle};

/// The alerts in the order of the API, and the pages made of them by the limits asked for so far.
#[derive(Debug)]
pub(super) struct Pages {
    order: Order,
    envelope: Envelope,
    repeated: usize,
    alerts: Vec<Alert>,
    made: HashMap<usize, Vec<Bytes>>,
}

impl Pages {
    pub fn new(order: Order, envelope: Envelope, repeated: usize) -> Self {
        Self { order, envelope, repeated, alerts: Vec::new(), made: HashMap::new() }
    }

    pub fn add(&mut self, alerts: &[Alert]) {
        self.made.clear();
        self.alerts.extend_from_slice(alerts);
        match self.order {
            Order::NewestFirst => self.alerts.sort_by_key(|alert| Reverse(alert.incident_time)),
            Order::OldestFirst => self.alerts.sort_by_key(|alert| alert.incident_time),
            Order::Shuffled => {
                self.alerts.sort_by(|left, right| left.id.cmp(&right.id));
                shuffle(&mut self.alerts, 7);
            }
        }
    }

    /// Makes the pages of this size now, so that the first request does not wait for it.
    pub fn prepare(&mut self, limit: usize) {
        self.all(limit);
    }

    /// Page `page` (the first is 1) of `limit` records; an empty one behind the last.
    pub fn page(&mut self, limit: usize, page: usize) -> Bytes {
        if let Some(body) = self.all(limit).get(page.wrapping_sub(1)) {
            return body.clone();
        }
        self.body(limit, page, &[])
    }

    fn all(&mut self, limit: usize) -> &[Bytes] {
        if !self.made.contains_key(&limit) {
            let pages = (0..self.count(limit)).map(|index| (index, &self.alerts[index * self.step(limit)..]));
            let bodies =
                pages.map(|(index, rest)| self.body(limit, index + 1, &rest[..limit.min(rest.len())])).collect();
            self.made.insert(limit, bodies);
        }
        &self.made[&limit]
    }

    /// From the first record of a page to that of the next.
    fn step(&self, limit: usize) -> usize {
        limit.saturating_sub(self.repeated).max(1)
    }

    fn count(&self, limit: usize) -> usize {
        let total = self.alerts.len();
        total.saturating_sub(self.repeated).div_ceil(self.step(limit)).max(usize::from(total > 0))
    }

    fn body(&self, limit: usize, page: usize, records: &[Alert]) -> Bytes {
        let total = self.alerts.len();
        let place = Place { page, pages: self.count(limit), limit, count: records.len(), total };
        let (open, close) = self.envelope.around(&place);
        let size = records.iter().map(|alert| alert.text.len() + 1).sum::<usize>() + open.len() + close.len();
        let mut body = Vec::with_capacity(size);
        body.extend_from_slice(open.as_bytes());
        for (index, alert) in records.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&alert.text);
        }
        body.extend_from_slice(close.as_bytes());
        body.into()
    }
}
