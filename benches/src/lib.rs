//! What the bench's own processes share: the order that a load is given (`job`), the clients that
//! carry it out (`load`), how latencies are counted (`histogram`), and a backend that costs next
//! to nothing (`stub`). Never measures a process; that is the bench's own work.

pub mod histogram;
pub mod job;
pub mod load;
pub mod stub;
