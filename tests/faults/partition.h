// A host is cut off from its storage for as long as the file FAULT_WHILE exists: part of fault_shim.cc.
//
// The server takes a silent host's locks back when its lease has run out (RFC 8881 section 8.4.2); here that
// is as soon as the partition begins. The process is not told, and looks at no file meanwhile, so a thread
// does it. A signal would have to be sent to each process of the host, and would end calls that wait.
#pragma once

#include <fcntl.h>

#include <optional>

namespace partition {

// FAULT_WHILE is set: calls are stopped by partitions, and by nothing else.
bool IsPossible();

// The host is cut off now.
bool IsOn();

// Until the host is not cut off any more, as with NFS that is mounted hard.
void WaitForEnd();

// The real fcntl for a lock, which is kept in mind. Nothing: the host was cut off before it could be granted.
std::optional<int> SetLock(int fd, int command, struct flock* lock);

// The descriptor is closed: its lock is not ours to drop any more.
void Forget(int fd);

}  // namespace partition
