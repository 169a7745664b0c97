# The program in README.md is examples/quickstart.cpp, which is built and run: cmake -Droot=... -P quickstart.cmake
file(READ ${root}/README.md readme)
file(READ ${root}/examples/quickstart.cpp program)
string(FIND "${readme}" "```cpp\n${program}```" position)
if(position EQUAL -1)
  message(FATAL_ERROR "README.md does not show examples/quickstart.cpp as it is: copy the file into its first C++ block")
endif()
