//! Events reach their receivers whatever fails: two replicas of the admin service on PostgreSQL, killed and paused while they deliver.

mod crash_run;
mod paused_worker;
mod setting;
