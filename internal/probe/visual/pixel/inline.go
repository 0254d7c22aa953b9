package pixel

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/draw"
	"image/png"
)

// margin is how much of its surroundings a part is shown with, in pixels.
const margin = 16

// PNG encodes a picture.
func PNG(p image.Image) ([]byte, error) {
	var out bytes.Buffer
	if err := png.Encode(&out, p); err != nil {
		return nil, fmt.Errorf("encode picture: %w", err)
	}
	return out.Bytes(), nil
}

// Decode reads a PNG.
func Decode(data []byte) (*image.NRGBA, error) {
	p, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("decode picture: %w", err)
	}
	if done, ok := p.(*image.NRGBA); ok {
		return done, nil
	}
	out := image.NewNRGBA(p.Bounds())
	draw.Draw(out, out.Rect, p, p.Bounds().Min, draw.Src)
	return out, nil
}

// Inline is the part of a Picture within box as a data URI of at most limit bytes, and by how much it had to be shrunk for
// that. It is empty where even a dot would be too long.
func Inline(p *image.NRGBA, box image.Rectangle, limit int) (uri string, shrunk int, err error) {
	const prefix = "data:image/png;base64,"
	part := crop(p, box.Inset(-margin))
	for shrunk = 1; ; shrunk *= 2 {
		data, err := PNG(part)
		if err != nil {
			return "", 0, err
		}
		if len(prefix)+base64.StdEncoding.EncodedLen(len(data)) <= limit {
			return prefix + base64.StdEncoding.EncodeToString(data), shrunk, nil
		}
		if part.Rect.Dx() == 1 && part.Rect.Dy() == 1 {
			return "", shrunk, nil
		}
		part = half(part)
	}
}

// crop copies a part, its corner at the origin.
func crop(p *image.NRGBA, box image.Rectangle) *image.NRGBA {
	box = box.Intersect(p.Rect)
	out := image.NewNRGBA(image.Rect(0, 0, box.Dx(), box.Dy()))
	draw.Draw(out, out.Rect, p, box.Min, draw.Src)
	return out
}

// half shrinks a Picture by two. Of every four pixels it keeps the one with the least green: no mark is lost.
func half(p *image.NRGBA) *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, (p.Rect.Dx()+1)/2, (p.Rect.Dy()+1)/2))
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			kept := p.NRGBAAt(2*x, 2*y)
			for _, at := range []image.Point{{X: 2*x + 1, Y: 2 * y}, {X: 2 * x, Y: 2*y + 1}, {X: 2*x + 1, Y: 2*y + 1}} {
				// Outside, and in the corner between two pictures of different size, nothing was drawn.
				if c := p.NRGBAAt(at.X, at.Y); c.A > 0 && (kept.A == 0 || c.G < kept.G) {
					kept = c
				}
			}
			out.SetNRGBA(x, y, kept)
		}
	}
	return out
}
