//! Feedback: what users think of their sessions.

use super::super::types::Feedback;
use super::{Sql, SqlStore, StoreError, sql};

const GIVE: Sql = sql!("UPDATE sessions SET rating = $1, comment = $2 WHERE id = $3 AND user_sub = $4");

impl SqlStore {
    pub(in crate::records::store) async fn give_feedback(
        &self,
        id: &str,
        user_sub: &str,
        feedback: &Feedback,
    ) -> Result<bool, StoreError> {
        let query = self
            .statement(GIVE)
            .bind(feedback.rating.map(i64::from))
            .bind(feedback.comment.as_deref())
            .bind(id)
            .bind(user_sub);
        Ok(query.execute(&self.writer).await?.rows_affected() > 0)
    }
}
