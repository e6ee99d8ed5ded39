// For tests: runs the built provctl as a person's shell would.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace prov::cli {

struct Finished {
  int status = -1;  // exit status, or minus the signal that ended it
  std::string out;
  std::string err;
};

class ProvctlProcess {
 public:
  // Starts cli/provctl below the runfiles, in a session without terminal, with HOME and output files in
  // `directory` and PROVCTL_CONFIG set to `config` unless that is empty.
  ProvctlProcess(std::string directory, const std::string& config, std::vector<std::string> arguments,
                 const std::string& standard_input = "");
  ~ProvctlProcess();

  void Signal(int signal_number);
  // What it has written to standard error so far.
  std::string ErrSoFar() const;
  Finished Wait();

 private:
  const std::string directory_;
  pid_t pid_ = -1;
};

// Starts and waits.
Finished RunProvctl(const std::string& directory, const std::string& config,
                    std::vector<std::string> arguments, const std::string& standard_input = "");

// Never returns: for a child process.
[[noreturn]] void ExecProvctl(const std::string& home, const std::string& config,
                              std::vector<std::string> arguments);

}  // namespace prov::cli
