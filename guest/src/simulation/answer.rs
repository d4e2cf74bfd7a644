//! How the source answers a request for a page.

use super::random::scatter;
use super::source::{Echo, FOR_EVER, PastEnd, Source, Totals, Trouble};

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Page { status: u16, body: Vec<u8> },
    TimedOut,
    Reset,
    Refused,
}

impl Answer {
    fn status(status: u16) -> Self {
        let body = match status {
            204 => String::new(),
            _ => format!("{{\"success\":false,\"error\":{{\"code\":\"E{status}\",\"message\":\"no\"}}}}"),
        };
        Self::Page { status, body: body.into_bytes() }
    }

    fn ok(body: &str) -> Self {
        Self::Page { status: 200, body: body.as_bytes().to_vec() }
    }
}

impl Source {
    /// The answer to a request for this page with so many records.
    pub fn answer(&mut self, asked: u64, limit: u64) -> Answer {
        self.requests += 1;
        let size = self.shape.page_size(limit);
        let count = self.standing.len() as u64;
        let pages = self.shape.pages(size, count);
        if let Some((left, trouble)) = self.outage {
            self.outage = (left > 1).then(|| (left - 1, trouble));
            return self.trouble(trouble, asked, size, pages);
        }
        if let Some(most) = self.shape.refuses_above.filter(|most| *most < limit) {
            let body =
                format!("{{\"success\":false,\"error\":{{\"message\":\"limit must not be greater than {most}\"}}}}");
            return Answer::Page { status: 400, body: body.into_bytes() };
        }
        let Some(page) = asked.checked_sub(self.shape.first_page).or(self.shape.zero_is_one.then_some(0)) else {
            return match self.shape.past_end {
                PastEnd::Status(status) => Answer::status(status),
                PastEnd::NoContent => Answer::status(204),
                _ => self.page(asked, None, size, pages),
            };
        };
        if asked == 0 {
            self.hid_page_zero = false;
        }
        if let Some(hole) = self.shape.holes.iter_mut().find(|hole| hole.page == page && hole.times > 0) {
            if hole.times != FOR_EVER {
                hole.times -= 1;
            }
            let trouble = hole.trouble;
            self.hid_page_zero |= asked == 0 && trouble.looks_like_nothing();
            return self.trouble(trouble, asked, size, pages);
        }
        if let Some((_, status)) = self.shape.deep.filter(|(first, _)| *first <= page) {
            return Answer::status(status);
        }
        if page < pages {
            return self.page(asked, Some(page), size, pages);
        }
        match self.shape.past_end {
            PastEnd::Empty | PastEnd::Null => self.page(asked, None, size, pages),
            PastEnd::NoContent => Answer::status(204),
            // The first page of a source that has nothing is there all the same.
            PastEnd::Status(_) if page == 0 => self.page(asked, None, size, pages),
            PastEnd::Status(status) => Answer::status(status),
            PastEnd::LastPage => self.page(asked, pages.checked_sub(1), size, pages),
            PastEnd::FirstPage => self.page(asked, Some(0), size, pages),
        }
    }

    fn trouble(&mut self, trouble: Trouble, asked: u64, size: u64, pages: u64) -> Answer {
        match trouble {
            Trouble::Empty => self.page(asked, None, size, pages),
            Trouble::NoContent => Answer::status(204),
            Trouble::ErrorCode => Answer::ok(r#"{"error":{"code":"X"},"data":[]}"#),
            Trouble::Errors => Answer::ok(r#"{"data":null,"errors":["x"]}"#),
            Trouble::NoSuccess => Answer::ok(r#"{"success":"false","data":[]}"#),
            Trouble::Status(status) => Answer::status(status),
            Trouble::Html => Answer::ok("<html><body>Be back soon</body></html>"),
            Trouble::TimeOut => Answer::TimedOut,
            Trouble::Reset => Answer::Reset,
            Trouble::Refused => Answer::Refused,
        }
    }

    /// A page with the records that stand on `page`, counted from 0; `None`: with none.
    fn page(&mut self, asked: u64, page: Option<u64>, size: u64, pages: u64) -> Answer {
        let count = self.standing.len() as u64;
        let range = page.map_or(0..0, |page| self.shape.range(page, size, count));
        let mut body = Vec::with_capacity(160 + range.len() * 96);
        if range.is_empty() && self.shape.past_end == PastEnd::Null {
            body.extend_from_slice(b"{\"data\":null");
        } else {
            body.extend_from_slice(b"{\"data\":[");
            let shown: Vec<u32> = self.view()[range].to_vec();
            for (place, at) in shown.into_iter().enumerate() {
                if place > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(&self.standing[at as usize].text);
            }
            body.push(b']');
        }
        self.say(&mut body, asked, size, pages);
        body.push(b'}');
        Answer::Page { status: 200, body }
    }

    /// Adds what the source says of itself.
    fn say(&self, body: &mut Vec<u8>, asked: u64, size: u64, pages: u64) {
        let count = self.standing.len() as u64;
        let current = match self.shape.echo {
            Echo::Right => Some(asked),
            Echo::FromZero => Some(asked.saturating_sub(self.shape.first_page)),
            Echo::AlwaysOne => Some(1),
            Echo::Absent => None,
        };
        let current = current.map_or(String::new(), |current| format!(",\"current_page\":{current}"));
        let numbers = |pages: u64, count: u64| format!(",\"total_page\":{pages},\"total_count\":{count}");
        let wrong = |count: u64| numbers(count.div_ceil(size), count);
        let totals = match self.shape.totals {
            Totals::Right => numbers(pages, count),
            Totals::Strings => format!(",\"total_page\":\"{pages}\",\"total_count\":\"{count}\""),
            Totals::Nested(place) => format!(",\"{place}\":{{\"total_pages\":{pages},\"total_count\":{count}}}"),
            Totals::CountOnly => format!(",\"total_count\":{count}"),
            Totals::PagesOnly => format!(",\"total_page\":{pages}"),
            Totals::LastPageFromZero => numbers(pages.saturating_sub(1), count),
            Totals::Missing => String::new(),
            Totals::Zero => numbers(0, 0),
            Totals::Capped(most) => wrong(count.min(most)),
            Totals::Stuck(count) => wrong(count),
            Totals::Off(by) => wrong(count.saturating_add_signed(by)),
            Totals::Fluttering(by) => {
                let by = (scatter(by, self.requests) % (2 * by + 1)) as i64 - by as i64;
                wrong(count.saturating_add_signed(by))
            }
        };
        body.extend_from_slice(current.as_bytes());
        body.extend_from_slice(totals.as_bytes());
    }
}
