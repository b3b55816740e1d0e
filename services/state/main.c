#include "services/state/program.h"

int main(int argc, char **argv)
{
    return program_main(&state_program, argc, argv);
}
