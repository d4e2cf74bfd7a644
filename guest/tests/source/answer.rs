//! How the source answers a request for a page.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cloudsek_xvigil::platform::{Request, Response};

use super::{PastEnd, Source, Totals};

impl Source {
    pub fn answer(&mut self, request: &Request) -> Response {
        let (_, query) = request.path_with_query.split_once('?').unwrap();
        let query: BTreeMap<_, _> = query.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
        let param = |names: [&str; 2]| names.into_iter().find_map(|name| query.get(name)).unwrap();
        let asked: u64 = param(["page", "p"]).parse().unwrap();
        let limit: u64 = param(["limit", "size"]).parse().unwrap();
        let since = query.get("since").filter(|_| self.filters).map(|text| text.parse().unwrap());
        let all = self.view.take().unwrap_or_else(|| self.sorted());
        let in_time = since.map(|since: DateTime<Utc>| {
            let view = all.iter().copied();
            view.filter(|at| self.records[*at].time >= since).collect::<Vec<_>>()
        });
        let view = in_time.as_ref().unwrap_or(&all);
        let cap = self.shape.cap.filter(|(cap, _)| *cap < limit);
        let size = cap.map_or(limit, |(cap, _)| cap);
        let count = view.len() as u64;
        let pages = count.div_ceil(size);
        // Pages are counted from 1.
        let beyond = asked > pages.max(1) || asked == 0;
        let mut page = asked;
        let mut status = 200;
        if beyond {
            match self.shape.past_end {
                PastEnd::LastPage | PastEnd::LastPageWithNumber => page = asked.clamp(1, pages.max(1)),
                PastEnd::NotFound => status = 404,
                PastEnd::Empty | PastEnd::Null => {}
            }
        }
        let first = (page.saturating_sub(1) * size).min(count) as usize;
        let last = (page * size).min(count) as usize;
        let records: Vec<_> = view[first..last].iter().map(|at| self.records[*at].text()).collect();
        let data = if records.is_empty() && self.shape.past_end == PastEnd::Null {
            b"null".to_vec()
        } else {
            [b"[", records.join(&b",\n"[..]).as_slice(), b"]"].concat()
        };
        let number = if self.shape.past_end == PastEnd::LastPageWithNumber { page } else { asked };
        let said = cap.filter(|(_, said)| *said).map_or(limit, |(cap, _)| cap);
        let envelope = match self.shape.totals {
            Totals::Missing if self.shape.past_end == PastEnd::LastPageWithNumber => {
                format!(r#"{{"data":@,"current_page":{number}}}"#)
            }
            Totals::Missing if data == b"null" => r#"{"data":@}"#.to_owned(),
            Totals::Missing => "@".to_owned(),
            Totals::Numbers => format!(
                r#"{{"data":@,"current_page":{number},"total_page":{pages},"current_limit":{said},"total_count":{count}}}"#
            ),
            Totals::Strings => format!(
                r#"{{"current_page":"{number}","total_page":"{pages}","current_limit":"{said}","total_count":"{count}","data":@}}"#
            ),
            Totals::Nested(place) => format!(
                r#"{{"data":@,"{place}":{{"current_page":{number},"total_pages":{pages},"total_count":{count}}}}}"#
            ),
            Totals::CountOnly => format!(r#"{{"data":@,"total_count":{count}}}"#),
            Totals::PagesOnly => format!(r#"{{"data":@,"total_pages":{pages}}}"#),
            Totals::Stuck(_) | Totals::Off(_) => {
                let said = self.shape.totals.said(count);
                format!(r#"{{"data":@,"total_page":{},"total_count":{said}}}"#, said.div_ceil(size))
            }
        };
        let (head, tail) = envelope.split_once('@').unwrap();
        let body = [head.as_bytes(), &data, tail.as_bytes()].concat();
        self.view = Some(all);
        Response { status, retry_after: None, body, close_error: None }
    }
}
