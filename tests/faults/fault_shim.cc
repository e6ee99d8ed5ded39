// For tests: the file system fails, or the process dies, at a call of the test's choice. Preloaded
// (ld.so(8)).
//
// Calls that concern files below FAULT_BELOW are counted, over all processes that share the file FAULT_COUNT:
// those that change something, and with FAULT_LOOKS set those that only look too. Each is noted in FAULT_LOG,
// so that fault points are found by running, never listed by hand. At call number FAULT_AT (from 1; 0: never)
// comes FAULT_HOW: "kill" (SIGKILL, in the middle of it if it is a write), or the name of an error; with
// FAULT_LASTING set, that error at every later call as well. An error comes only to calls that can have it: a
// full disk does not fail an unlink; such calls are not counted.
//
// With FAULT_WHILE nothing is counted. While the file of that name exists, the host is cut off from what is
// below FAULT_BELOW (partition.h): its locks there are lost, and every call, those that look too, fails with
// the error FAULT_HOW or, with "hang", waits. FAULT_LOG has those calls.
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <string>

#include "tests/faults/partition.h"

namespace {

enum Kind : unsigned {
  kLooks = 1,    // changes nothing
  kChanges = 2,  // what is there
  kFills = 4,    // takes room on the disk
  kAsks = 8,     // the server: of no interest but in a partition
};

struct Fault {
  std::string below;
  uint64_t at = 0;
  int error = 0;  // 0: kill; in a partition: hang
  unsigned kinds = kChanges | kFills;
  bool lasting = false;
  int log = -1;
  std::atomic<uint64_t>* calls = nullptr;
};

std::string Variable(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

Fault ReadFault() {
  Fault fault;
  fault.below = Variable("FAULT_BELOW");
  fault.at = strtoull(Variable("FAULT_AT").c_str(), nullptr, 10);
  fault.lasting = !Variable("FAULT_LASTING").empty();
  if (!Variable("FAULT_LOOKS").empty()) fault.kinds |= kLooks;
  const std::string how = Variable("FAULT_HOW");
  if (how == "EIO") fault.error = EIO;
  if (how == "ESTALE") fault.error = ESTALE;
  if (how == "ENOSPC") fault.error = ENOSPC;
  if (how == "EROFS") fault.error = EROFS;
  if (fault.error == ENOSPC) fault.kinds = kFills;
  if (fault.error == EROFS) fault.kinds = kChanges | kFills;
  if (partition::IsPossible()) fault.kinds = kLooks | kChanges | kFills | kAsks;
  // Past our own wrappers: what the shim does is no call of the program's.
  fault.log = static_cast<int>(syscall(SYS_openat, AT_FDCWD, Variable("FAULT_LOG").c_str(),
                                       O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666));
  const auto count =
      static_cast<int>(syscall(SYS_openat, AT_FDCWD, Variable("FAULT_COUNT").c_str(), O_RDWR | O_CLOEXEC, 0));
  void* shared = mmap(nullptr, sizeof(*fault.calls), PROT_READ | PROT_WRITE, MAP_SHARED, count, 0);
  if (shared != MAP_FAILED) fault.calls = static_cast<std::atomic<uint64_t>*>(shared);
  syscall(SYS_close, count);
  return fault;
}

const Fault& TheFault() {
  static const Fault& fault = *new Fault(ReadFault());
  return fault;
}

std::string PathOf(int fd) {
  char link[64], target[PATH_MAX];
  snprintf(link, sizeof link, fd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, target, sizeof target);
  return length < 0 ? "" : std::string(target, static_cast<size_t>(length));
}

// Of `path`, as seen from the directory `fd`; or of the file `fd` itself.
std::string WholePath(int fd, const char* path) {
  std::string whole = path != nullptr && path[0] == '/' ? "" : PathOf(fd);
  if (path != nullptr) whole += (whole.empty() ? "" : "/") + std::string(path);
  return whole;
}

bool IsBelow(const std::string& path, const std::string& top) {
  return path.compare(0, top.size(), top) == 0 && (path.size() == top.size() || path[top.size()] == '/');
}

enum class Fate { kGoOn, kFail, kDie };

void Note(const Fault& fault, const std::string& line) {
  syscall(SYS_write, fault.log, line.data(), line.size());
}

// errno is as it was, or says how the call fails.
Fate FateInPartition(const Fault& fault, const char* call, const std::string& path) {
  if (!partition::IsOn()) return Fate::kGoOn;
  const int before = errno;
  Note(fault, std::string(call) + " " + path + "\n");
  if (fault.error == 0) partition::WaitForEnd();
  errno = fault.error == 0 ? before : fault.error;
  return fault.error == 0 ? Fate::kGoOn : Fate::kFail;
}

[[noreturn]] void Die() {
  syscall(SYS_kill, getpid(), SIGKILL);
  abort();  // not reached
}

// What becomes of a call about `path`, as seen from the directory `fd`; or about the file `fd` itself.
Fate FateOf(const char* call, unsigned kind, int fd, const char* path) {
  const int before = errno;
  const Fault& fault = TheFault();
  const bool active = fault.calls != nullptr || partition::IsPossible();
  if (!active || (kind & fault.kinds) == 0) return Fate::kGoOn;
  const std::string whole = WholePath(fd, path);
  errno = before;
  if (!IsBelow(whole, fault.below)) return Fate::kGoOn;
  if (partition::IsPossible()) return FateInPartition(fault, call, whole);
  const uint64_t number = fault.calls->fetch_add(1) + 1;
  const bool struck =
      fault.at != 0 && (number == fault.at || (number > fault.at && fault.lasting && fault.error != 0));
  Note(fault, std::to_string(number) + (struck ? "! " : " ") + call + " " + whole + "\n");
  errno = before;
  if (!struck) return Fate::kGoOn;
  if (fault.error == 0) return Fate::kDie;
  errno = fault.error;
  return Fate::kFail;
}

// Storage that a host can be cut off from is a server's.
bool IsOfServer(int fd, const char* path = nullptr) {
  return partition::IsPossible() && IsBelow(WholePath(fd, path), TheFault().below);
}

// Whether the call fails; errno says how.
bool Fails(const char* call, unsigned kind, int fd, const char* path) {
  const Fate fate = FateOf(call, kind, fd, path);
  if (fate == Fate::kDie) Die();
  return fate == Fate::kFail;
}

template <typename Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

unsigned KindOfOpen(int flags) {
  if ((flags & O_CREAT) != 0) return kFills;
  return (flags & O_ACCMODE) == O_RDONLY ? kLooks : kChanges;
}

int Open(const char* call, int directory, const char* path, int flags, mode_t mode) {
  if (Fails(call, KindOfOpen(flags), directory, path)) return -1;
  return static_cast<int>(syscall(SYS_openat, directory, path, flags, mode));
}

int Fcntl(const char* call, int fd, int command, void* argument) {
  const bool locks = command == F_OFD_SETLK || command == F_OFD_SETLKW;
  if (!locks || !partition::IsPossible()) return static_cast<int>(syscall(SYS_fcntl, fd, command, argument));
  for (;;) {
    if (Fails(call, kAsks, fd, nullptr)) return -1;
    const std::optional<int> result = partition::SetLock(fd, command, static_cast<struct flock*>(argument));
    if (result) return *result;
  }
}

mode_t ModeOf(int flags, va_list rest) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = ModeOf(flags, rest);
  va_end(rest);
  return Open("open", AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = ModeOf(flags, rest);
  va_end(rest);
  return Open("open", AT_FDCWD, path, flags, mode);
}
int openat(int directory, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = ModeOf(flags, rest);
  va_end(rest);
  return Open("openat", directory, path, flags, mode);
}
int openat64(int directory, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = ModeOf(flags, rest);
  va_end(rest);
  return Open("openat", directory, path, flags, mode);
}
// What these become in programs that are compiled with _FORTIFY_SOURCE.
int __open_2(const char* path, int flags) { return Open("open", AT_FDCWD, path, flags, 0); }
int __open64_2(const char* path, int flags) { return Open("open", AT_FDCWD, path, flags, 0); }
int __openat_2(int directory, const char* path, int flags) {
  return Open("openat", directory, path, flags, 0);
}
int __openat64_2(int directory, const char* path, int flags) {
  return Open("openat", directory, path, flags, 0);
}

int mkdir(const char* path, mode_t mode) {
  if (Fails("mkdir", kFills, AT_FDCWD, path)) return -1;
  return Real<decltype(mkdir)>("mkdir")(path, mode);
}
int mkdirat(int directory, const char* path, mode_t mode) {
  if (Fails("mkdirat", kFills, directory, path)) return -1;
  return Real<decltype(mkdirat)>("mkdirat")(directory, path, mode);
}
int rmdir(const char* path) {
  if (Fails("rmdir", kChanges, AT_FDCWD, path)) return -1;
  return Real<decltype(rmdir)>("rmdir")(path);
}
int unlink(const char* path) {
  if (Fails("unlink", kChanges, AT_FDCWD, path)) return -1;
  return Real<decltype(unlink)>("unlink")(path);
}
int unlinkat(int directory, const char* path, int flags) {
  if (Fails("unlinkat", kChanges, directory, path)) return -1;
  return Real<decltype(unlinkat)>("unlinkat")(directory, path, flags);
}
int rename(const char* from, const char* to) {
  if (Fails("rename", kFills, AT_FDCWD, to)) return -1;
  return Real<decltype(rename)>("rename")(from, to);
}
int renameat(int from_directory, const char* from, int directory, const char* to) {
  if (Fails("renameat", kFills, directory, to)) return -1;
  return Real<decltype(renameat)>("renameat")(from_directory, from, directory, to);
}
int renameat2(int from_directory, const char* from, int directory, const char* to, unsigned flags) {
  if (Fails("renameat2", kFills, directory, to)) return -1;
  return Real<decltype(renameat2)>("renameat2")(from_directory, from, directory, to, flags);
}
int link(const char* from, const char* to) {
  if (Fails("link", kFills, AT_FDCWD, to)) return -1;
  return Real<decltype(link)>("link")(from, to);
}
int linkat(int from_directory, const char* from, int directory, const char* to, int flags) {
  if (Fails("linkat", kFills, directory, to)) return -1;
  return Real<decltype(linkat)>("linkat")(from_directory, from, directory, to, flags);
}
int symlinkat(const char* target, int directory, const char* path) {
  if (Fails("symlinkat", kFills, directory, path)) return -1;
  return Real<decltype(symlinkat)>("symlinkat")(target, directory, path);
}
int ftruncate(int fd, off_t size) {
  if (Fails("ftruncate", kFills, fd, nullptr)) return -1;
  return Real<decltype(ftruncate)>("ftruncate")(fd, size);
}

ssize_t write(int fd, const void* data, size_t size) {
  const Fate fate = FateOf("write", kFills, fd, nullptr);
  if (fate == Fate::kFail) return -1;
  if (fate == Fate::kDie) {
    syscall(SYS_write, fd, data, size / 2);
    Die();
  }
  return Real<decltype(write)>("write")(fd, data, size);
}
ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  if (Fails("pwrite", kFills, fd, nullptr)) return -1;
  return Real<decltype(pwrite)>("pwrite")(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  if (Fails("pwrite64", kFills, fd, nullptr)) return -1;
  return Real<decltype(pwrite64)>("pwrite64")(fd, data, size, offset);
}
ssize_t writev(int fd, const iovec* parts, int count) {
  if (Fails("writev", kFills, fd, nullptr)) return -1;
  return Real<decltype(writev)>("writev")(fd, parts, count);
}
ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) {
  if (Fails("pwritev", kFills, fd, nullptr)) return -1;
  return Real<decltype(pwritev)>("pwritev")(fd, parts, count, offset);
}

int fsync(int fd) {
  if (Fails("fsync", kFills, fd, nullptr)) return -1;
  return Real<decltype(fsync)>("fsync")(fd);
}
int fdatasync(int fd) {
  if (Fails("fdatasync", kFills, fd, nullptr)) return -1;
  return Real<decltype(fdatasync)>("fdatasync")(fd);
}
int syncfs(int fd) {
  if (Fails("syncfs", kFills, fd, nullptr)) return -1;
  return Real<decltype(syncfs)>("syncfs")(fd);
}
// The descriptor is gone whatever it answers, as on Linux.
int close(int fd) {
  const bool fails = Fails("close", kLooks, fd, nullptr);
  const int error = errno;
  partition::Forget(fd);
  const int result = Real<decltype(close)>("close")(fd);
  if (!fails) return result;
  errno = error;
  return -1;
}

int fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void* argument = va_arg(rest, void*);
  va_end(rest);
  return Fcntl("fcntl", fd, command, argument);
}
int fcntl64(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void* argument = va_arg(rest, void*);
  va_end(rest);
  return Fcntl("fcntl64", fd, command, argument);
}

int fchmod(int fd, mode_t mode) {
  if (Fails("fchmod", kChanges, fd, nullptr)) return -1;
  return Real<decltype(fchmod)>("fchmod")(fd, mode);
}
int chmod(const char* path, mode_t mode) {
  if (Fails("chmod", kChanges, AT_FDCWD, path)) return -1;
  return Real<decltype(chmod)>("chmod")(path, mode);
}
int fchown(int fd, uid_t uid, gid_t gid) {
  if (Fails("fchown", kChanges, fd, nullptr)) return -1;
  return Real<decltype(fchown)>("fchown")(fd, uid, gid);
}
int chown(const char* path, uid_t uid, gid_t gid) {
  if (Fails("chown", kChanges, AT_FDCWD, path)) return -1;
  return Real<decltype(chown)>("chown")(path, uid, gid);
}
int lchown(const char* path, uid_t uid, gid_t gid) {
  if (Fails("lchown", kChanges, AT_FDCWD, path)) return -1;
  return Real<decltype(lchown)>("lchown")(path, uid, gid);
}
int futimens(int fd, const timespec times[2]) {
  if (Fails("futimens", kChanges, fd, nullptr)) return -1;
  return Real<decltype(futimens)>("futimens")(fd, times);
}

ssize_t read(int fd, void* data, size_t size) {
  if (Fails("read", kLooks, fd, nullptr)) return -1;
  return Real<decltype(read)>("read")(fd, data, size);
}
ssize_t pread(int fd, void* data, size_t size, off_t offset) {
  if (Fails("pread", kLooks, fd, nullptr)) return -1;
  return Real<decltype(pread)>("pread")(fd, data, size, offset);
}
int stat(const char* path, struct stat* info) {
  if (Fails("stat", kLooks, AT_FDCWD, path)) return -1;
  return Real<int(const char*, struct stat*)>("stat")(path, info);
}
int fstat(int fd, struct stat* info) {
  if (Fails("fstat", kLooks, fd, nullptr)) return -1;
  return Real<int(int, struct stat*)>("fstat")(fd, info);
}
int fstatat(int directory, const char* path, struct stat* info, int flags) {
  if (Fails("fstatat", kLooks, directory, path)) return -1;
  return Real<int(int, const char*, struct stat*, int)>("fstatat")(directory, path, info, flags);
}

int faccessat(int directory, const char* path, int mode, int flags) {
  if (Fails("faccessat", kAsks, directory, path)) return -1;
  return Real<decltype(faccessat)>("faccessat")(directory, path, mode, flags);
}
dirent* readdir(DIR* stream) {
  if (Fails("readdir", kAsks, dirfd(stream), nullptr)) return nullptr;
  return Real<decltype(readdir)>("readdir")(stream);
}
ssize_t getdents64(int fd, void* names, size_t size) {
  if (Fails("getdents64", kAsks, fd, nullptr)) return -1;
  return Real<decltype(getdents64)>("getdents64")(fd, names, size);
}
ssize_t preadv2(int fd, const iovec* parts, int count, off_t offset, int flags) {
  if (IsOfServer(fd) && (flags & RWF_NOWAIT) != 0) {
    errno = EOPNOTSUPP;  // as NFS has it
    return -1;
  }
  if (Fails("preadv2", kLooks, fd, nullptr)) return -1;
  return Real<decltype(preadv2)>("preadv2")(fd, parts, count, offset, flags);
}
int fstatfs(int fd, struct statfs* info) {
  if (Fails("fstatfs", kAsks, fd, nullptr)) return -1;
  const int result = Real<decltype(fstatfs)>("fstatfs")(fd, info);
  if (IsOfServer(fd)) info->f_type = NFS_SUPER_MAGIC;
  return result;
}
// By which openat2 is called: glibc has no function for it.
long syscall(long number, ...) {
  va_list rest;
  va_start(rest, number);
  long words[6];
  for (long& word : words) word = va_arg(rest, long);
  va_end(rest);
  if (number == SYS_openat2) {
    const auto flags = static_cast<int>(reinterpret_cast<const open_how*>(words[2])->flags);
    const auto* path = reinterpret_cast<const char*>(words[1]);
    const auto resolve = reinterpret_cast<const open_how*>(words[2])->resolve;
    if ((resolve & RESOLVE_CACHED) != 0 && IsOfServer(static_cast<int>(words[0]), path)) {
      errno = EAGAIN;  // as NFS says when it must ask
      return -1;
    }
    if (Fails("openat2", KindOfOpen(flags), static_cast<int>(words[0]), path)) return -1;
  }
  static const auto real = Real<long(long, ...)>("syscall");
  return real(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

}  // extern "C"
