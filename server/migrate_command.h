// `provd migrate`: the schema made and upgraded by its owner, who is not whom provd serves as.
#pragma once

namespace prov {

// `argv` is that of provd, with argv[1] "migrate". Returns the exit status: 0 done, 1 failed, 2 usage.
int RunMigrateCommand(int argc, char** argv);

}  // namespace prov
