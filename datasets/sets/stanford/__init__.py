"""Stanford Cars in the layouts it is passed on in, a file each, and how they become one prepared folder."""
