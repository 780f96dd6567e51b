// epoll, level-triggered: the kernel keeps the list of descriptors and of those that are ready.
//
// How it waits: epoll_ctl names a descriptor once; from then on every arrival of data puts it on
// the kernel's ready list, and epoll_wait copies out that list. Level-triggered means that a
// descriptor is reported again and again as long as it is ready, so one read per report is enough.
//
// What it costs: epoll_wait is proportional to the descriptors that are ready, however many are
// watched, and is shared by them. Per echo: recv + send + 1/k of an epoll_wait that reports k. A
// change of interest is a system call of its own (epoll_ctl), so it is made for real changes only.
//
// The trap: a socket is nearly always ready for writing. A server that leaves EPOLLOUT on is woken
// without end by idle connections; here it is on only while output is owed.
#include "../common/epoll.hpp"

int main(int argc, char**) {
    return c10k::run_event_loop<c10k::Epoll>(argc);
}
