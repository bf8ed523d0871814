"""The viewer: linked panels of one image on canvases, and the channel through which the network answers the pointer."""
