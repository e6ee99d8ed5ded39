// `provd ca init` and `provd ca issue`: the CA from the command line of its own machine.
#pragma once

namespace prov::enrol {

// `argv` is that of provd, with argv[1] "ca". Returns the exit status: 0 done, 1 failed, 2 usage.
int RunCaCommand(int argc, char** argv);

}  // namespace prov::enrol
