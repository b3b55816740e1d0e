#include "services/worker/worker.h"

int main(int argc, char **argv)
{
    return program_main(&worker_program, argc, argv);
}
